"""Which reader a file's name asks for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from finefit.errors import BadInput, Problem

from . import jsonl
from .placed import Placed


def rows_in(path: Path | str) -> Iterator[Placed]:
    """Raises `BadInput` where the file cannot be read at all."""
    path = Path(path)
    try:
        yield from jsonl.read(path)
    except OSError as error:
        raise BadInput(Problem(f"cannot be read: {error.strerror}", where=str(path))) from None


def place(path: Path | str, number: int) -> str:
    return f"{path}:{number}"
