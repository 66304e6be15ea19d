"""Where finefit keeps what it can make again."""

from __future__ import annotations

import os
from pathlib import Path

from finefit import whole


def home() -> Path:
    """`FINEFIT_CACHE`, or where caches are kept."""
    return Path(
        os.environ.get("FINEFIT_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "finefit")
    ).expanduser()


def write(path: Path, data: bytes) -> None:
    """Whole or not at all, in a folder that is made where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole.write(path, data)
