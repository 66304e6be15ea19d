"""Which reader a file's name asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from finefit.errors import BadInput, Problem

from . import arrays, comma, jsonl, parquet
from .placed import Placed

READERS: dict[str, Callable[[Path], Iterator[Placed]]] = {
    ".jsonl": jsonl.read,
    ".json": arrays.read,
    ".csv": comma.read,
    ".parquet": parquet.read,
}
"""By the end of a file's name; any other name is read as JSONL."""
OTHERS = {
    ".tsv": "CSV with commas",
    ".xlsx": "CSV, as a spreadsheet saves it",
    ".xls": "CSV, as a spreadsheet saves it",
    ".arrow": "Parquet, or JSONL",
    ".yaml": "JSONL",
    ".gz": "the file unpacked",
    ".zip": "the file unpacked",
    ".zst": "the file unpacked",
}
"""Files that people have, and what is read of them."""


def rows_in(path: Path | str) -> Iterator[Placed]:
    """Raises `BadInput` where the file cannot be read at all."""
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in OTHERS:
        known = ", ".join(READERS)
        raise BadInput(Problem(f"{suffix} is not read", str(path), f"what is: {known}", OTHERS[suffix]))
    try:
        yield from READERS.get(suffix, jsonl.read)(path)
    except OSError as error:
        raise BadInput(Problem(f"cannot be read: {error.strerror}", where=str(path))) from None


def place(path: Path | str, number: int) -> str:
    """`rows.jsonl:3`, as editors jump to it; rows of Parquet have no lines."""
    return f"{path}: row {number}" if Path(path).suffix.lower() == ".parquet" else f"{path}:{number}"
