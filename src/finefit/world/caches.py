"""Where finefit keeps what it can make again."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def home() -> Path:
    """`FINEFIT_CACHE`, or where caches are kept."""
    return Path(
        os.environ.get("FINEFIT_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "finefit")
    ).expanduser()


def write(path: Path, data: bytes) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(aside).replace(path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise
