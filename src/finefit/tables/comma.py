"""Comma-separated values: a row of names, then rows of text, each with the line on which it begins.

A byte order mark is left out, since spreadsheets write one. Never the whole file in memory, unless a quotation mark is
opened and never closed. Knows: text alone, so formats with lists in them are no CSV.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from finefit.errors import BadInput, Problem

from .placed import Placed


def read(path: Path) -> Iterator[Placed]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # 128 KiB by default; 2³¹ where a C long has 32 bits
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file, strict=True)
        names: list[str] | None = None
        ended = 0
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield Placed(ended + 1, {}, f"not CSV: {error}")
                names, cells = names or [], []
            first, ended = ended + 1, reader.line_num
            if not cells:
                continue
            if names is None:
                names = _names(cells, path, first)
            else:
                yield _placed(first, names, cells)


def _names(cells: list[str], path: Path, line: int) -> list[str]:
    names = [cell.strip() for cell in cells]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise BadInput(Problem(f"the column `{repeated}` is there twice", where=f"{path}:{line}"))
    return names


def _placed(line: int, names: Sequence[str], cells: list[str]) -> Placed:
    if len(cells) != len(names):
        return Placed(line, {}, f"{len(cells)} values, and the first line names {len(names)} columns")
    for name, cell in zip(names, cells, strict=True):
        if not cell.isascii() and any("\udc80" <= letter <= "\udcff" for letter in cell):
            return Placed(line, {}, f"`{name}` has bytes that are not UTF-8")
    return Placed(line, dict(zip(names, cells, strict=True)))
