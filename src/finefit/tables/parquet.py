"""Parquet, a batch of rows at a time, by pyarrow: a row is told by its number, the first one is 1."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

from finefit.errors import BadInput, Problem

from .placed import Placed

BATCH = 1024
"""Rows. Chosen: a megabyte or two of usual conversations."""


def read(path: Path) -> Iterator[Placed]:
    arrow, opener = _pyarrow()
    numbers = count(1)
    try:
        with opener(path) as file:
            for batch in file.iter_batches(BATCH):
                yield from _placed(batch, numbers)
    except (arrow.ArrowInvalid, arrow.ArrowNotImplementedError) as error:
        told = str(error).splitlines()[0]
        raise BadInput(Problem(f"cannot be read as Parquet: {told}", where=str(path))) from None


def _placed(batch: Any, numbers: Iterator[int]) -> Iterator[Placed]:
    try:
        rows = batch.to_pylist()
    except UnicodeDecodeError:
        rows = None
    for place in range(batch.num_rows):
        number = next(numbers)
        try:
            row = rows[place] if rows is not None else batch.slice(place, 1).to_pylist()[0]
        except UnicodeDecodeError:
            yield Placed(number, {}, "its text is not UTF-8")
            continue
        yield Placed(number, row)


def _pyarrow() -> Any:
    try:
        import pyarrow
        from pyarrow.parquet import ParquetFile
    except ImportError:
        why, hint = "Parquet is read by it", "pip install pyarrow, or finefit[train], which has it; or save as JSONL"
        raise BadInput(Problem("pyarrow is not installed", why=why, hint=hint)) from None
    return pyarrow, ParquetFile
