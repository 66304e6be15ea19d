"""The prices that hold here: the user's own file before what `finefit prices --refresh` kept before the shipped list.

Knows: `FINEFIT_PRICES`, a file with the columns of catalog/prices.csv, checked cell by cell before any of it counts;
what was kept, unless it cannot be read, which is as if it were not there.
Does not know: whether a price is still true.
"""

from __future__ import annotations

import csv
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import date
from io import StringIO
from pathlib import Path

from finefit.catalog.gpus import gpu_named
from finefit.catalog.prices import COLUMNS, layered, price_of, shipped
from finefit.errors import BadInput, Problem, nearest
from finefit.nouns.offer import CONFIDENCES, KINDS, Price

from . import caches

VARIABLE = "FINEFIT_PRICES"
NEEDED = ("provider", "gpu", "count", "kind", "usd_per_machine_hour", "date")
"""Columns that a file must have; of the others a cell may be empty or the column missing."""

DEAREST = 10_000
"""USD per hour: above it a price is of something else. A machine of 8 GPUs is listed at 114 and less."""

EXAMPLE = "\n".join((",".join(NEEDED), "our lab,RTX 4090,2,on_demand,0.60,2026-11-21"))

ISO = re.compile(r"\d{4}-\d\d-\d\d")


def prices() -> tuple[Price, ...]:
    return layered(_own(), kept(), shipped())


def kept_at() -> Path:
    return caches.home() / "prices.csv"


def kept() -> tuple[Price, ...]:
    """Of the last refresh."""
    try:
        return read(kept_at())
    except BadInput:
        return ()


def keep(rows: Iterable[Price]) -> None:
    text = StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    caches.write(kept_at(), text.getvalue().encode())


def read(path: Path) -> tuple[Price, ...]:
    """A price list, or all that is wrong with it."""
    reader = csv.reader(StringIO(_text(path), newline=""))
    try:
        header = [cell.strip() for cell in next(reader, [])]
        problems = list(_wrong_header(header, path))
        if problems:
            raise BadInput(*problems)
        found = [_row(header, cells, path, line) for line, cells in _numbered(reader)]
    except csv.Error as error:
        raise BadInput(Problem(f"not CSV: {error}", where=f"{path}:{reader.line_num}")) from None
    problems = [problem for row in found if not isinstance(row, Price) for problem in row]
    if problems:
        raise BadInput(*problems)
    return tuple(row for row in found if isinstance(row, Price))


def _own() -> tuple[Price, ...]:
    name = os.environ.get(VARIABLE)
    return read(Path(name).expanduser()) if name else ()


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise BadInput(Problem("not UTF-8", where=f"{path}:{line}")) from None
    except OSError as error:
        hint = f"{VARIABLE} names a CSV file of prices, or is not set"
        raise BadInput(Problem(f"cannot be read: {error.strerror}", where=str(path), hint=hint)) from None


def _numbered(reader: Iterable[list[str]]) -> Iterator[tuple[int, list[str]]]:
    """Rows with the line that each begins on; blank lines are none."""
    begins = 2
    for cells in reader:
        if any(cell.strip() for cell in cells):
            yield begins, cells
        begins = reader.line_num + 1  # type: ignore[attr-defined]  # csv's readers have it, their type is private


def _wrong_header(header: list[str], path: Path) -> Iterator[Problem]:
    for number, name in enumerate(header):
        where = f"{path}:1: {name}"
        if name not in COLUMNS:
            yield Problem("unknown column", where, hint=nearest(name, COLUMNS) or f"columns are {', '.join(COLUMNS)}")
        elif name in header[:number]:
            yield Problem("this column is there twice", where)
    for name in NEEDED:
        if name not in header:
            yield Problem("this column is missing", f"{path}:1: {name}", hint=f"a file like\n{EXAMPLE}")


def _row(header: list[str], cells: list[str], path: Path, line: int) -> Price | list[Problem]:
    if len(cells) != len(header):
        why = f"the first line names {len(header)} columns"
        hint = "a text with a comma stands in quotation marks"
        return [Problem(f"{len(cells)} cells", f"{path}:{line}", why=why, hint=hint)]
    given = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
    problems = [
        Problem(found.what, f"{path}:{line}: {name}", found.why, found.hint)
        for name, check in CHECKS.items()
        if (found := check(given.get(name, ""), given)) is not None
    ]
    if problems:
        return problems
    defaults = dict.fromkeys(COLUMNS, "") | {"confidence": CONFIDENCES[0], "source": str(path)}
    return price_of(defaults | {name: cell for name, cell in given.items() if cell})


Check = Callable[[str, Mapping[str, str]], Problem | None]
"""What is wrong with a cell, beside the others of its row."""


def _provider(cell: str, _: Mapping[str, str]) -> Problem | None:
    return None if cell else Problem("is empty", hint="who asks this price")


def _gpu(cell: str, _: Mapping[str, str]) -> Problem | None:
    try:
        gpu_named(cell)
    except BadInput as error:
        first = error.problems[0]
        return Problem(first.what, why=first.why, hint=first.hint)
    return None


def _count(cell: str, _: Mapping[str, str]) -> Problem | None:
    if _whole(cell) >= 1:
        return None
    return Problem(f"'{cell}' is no number of GPUs", hint="how many GPUs the price is for, like 1 or 8")


def _up_to(cell: str, row: Mapping[str, str]) -> Problem | None:
    count = _whole(row.get("count", ""))
    if not cell or count < 1:  # a wrong count is named by itself
        return None
    if _whole(cell) >= count and _whole(cell) % count == 0:
        return None
    why = f"one price is for {count}, and machines have whole multiples of it"
    return Problem(f"'{cell}' is no number of GPUs", why=why, hint=f"empty, or like {8 * count}")


def _kind(cell: str, _: Mapping[str, str]) -> Problem | None:
    if cell in KINDS:
        return None
    return Problem(f"unknown kind '{cell}'", hint=nearest(cell, KINDS) or f"one of {', '.join(KINDS)}")


def _usd(cell: str, row: Mapping[str, str]) -> Problem | None:
    hint = "US dollars per hour of the whole machine, like 2.49"
    try:
        usd = float(cell)
    except ValueError:
        return Problem(f"'{cell}' is no price", hint=hint)
    if not math.isfinite(usd) or not 0 <= usd <= DEAREST:
        return Problem(f"'{cell}' is no price", why=f"prices are from 0 to {DEAREST:,}", hint=hint)
    if usd == 0 and row.get("kind") in KINDS and row.get("kind") != "free":
        return Problem("nothing is asked", why=f"the kind is {row['kind']}", hint="the kind free, or the price")
    if usd > 0 and row.get("kind") == "free":
        return Problem(f"'{cell}' is asked", why="the kind is free", hint="another kind, or 0")
    return None


def _date(cell: str, _: Mapping[str, str]) -> Problem | None:
    try:
        if ISO.fullmatch(cell):
            date.fromisoformat(cell)
            return None
    except ValueError:
        pass
    return Problem(f"'{cell}' is no date", hint="the day on which the price was read, like 2026-11-21")


def _confidence(cell: str, _: Mapping[str, str]) -> Problem | None:
    if not cell or cell in CONFIDENCES:
        return None
    return Problem(f"unknown confidence '{cell}'", hint=f"empty, or one of {', '.join(CONFIDENCES)}")


CHECKS: dict[str, Check] = {
    "provider": _provider,
    "gpu": _gpu,
    "count": _count,
    "up_to": _up_to,
    "kind": _kind,
    "usd_per_machine_hour": _usd,
    "date": _date,
    "confidence": _confidence,
}


def _whole(cell: str) -> int:
    """The number that a cell is; 0 where it is none."""
    return int(cell) if cell.isascii() and cell.isdigit() and len(cell) < 5 else 0
