"""What tells the content of files apart."""

from __future__ import annotations

import hashlib
from pathlib import Path


def sha256_of(*files: Path) -> str:
    """Of one after another, as if they were one file."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: digest)
    return digest.hexdigest()
