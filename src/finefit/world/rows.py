"""A data file, checked row by row before anything is loaded. No torch, and never the whole file in memory.

A file has one format: its first row that has one decides. A row of another is as bad as one that cannot be read.

Knows: whether each row can be trained on, and the sizes of the images that it shows.
Does not know: tokens; whether the roles alternate as the model's chat template wants; what images show.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from finefit.errors import BadInput, Problem
from finefit.nouns.bad_rows import BadRow, OnBadRow
from finefit.nouns.formats import MESSAGES, Format, Row, recognised, unknown
from finefit.nouns.formats.format import WITH_MESSAGES
from finefit.nouns.formats.image_refs import Unreadable
from finefit.nouns.formats.images import has_images, refs_of
from finefit.nouns.formats.pairs import PROMPTED_CHAT
from finefit.nouns.images import Size
from finefit.tables import Placed, place, rows_in

from .image_files import HEADERS, Looks, sizes_of

SHOWN = 20
"""Bad rows that are named; the rest are counted."""


@dataclass(frozen=True)
class Rows:
    lines: tuple[int, ...]
    # of each row that is trained on, where it stands: blank lines are skipped
    shown: tuple[tuple[Size, ...], ...] = ()
    # of each row, the sizes of its images, in their order; nothing where no row has any
    format: Format = MESSAGES
    left_out: tuple[BadRow, ...] = ()
    unread: tuple[str, ...] = ()
    # keys of rows that the format does not have

    @property
    def rows(self) -> int:
        return len(self.lines)

    @property
    def sizes(self) -> tuple[tuple[Size, ...], ...]:
        """Of each row; also where none shows anything."""
        return self.shown or ((),) * self.rows

    @property
    def bad(self) -> tuple[int, ...]:
        """The numbers of the rows that are left out."""
        return tuple(row.number for row in self.left_out)


TEXT_ALONE = "a plan weighs text alone; `finefit estimate --data` and `finefit train` read images"


def check_rows(
    path: Path | str, blind: str = TEXT_ALONE, on_bad: OnBadRow = "stop", task: Literal["sft", "dpo"] = "sft"
) -> Rows:
    """The rows to train on. Where one cannot be, `stop` names all that cannot, and `skip` leaves them out; where none
    can be, both stop. `blind`: why no row may show images; empty where rows may."""
    rows = scan(path, blind)
    if rows.lines and (rows.format.trained == "pairs") != (task == "dpo"):
        raise BadInput(_of_other_task(rows.format, path, task))
    if rows.left_out and (on_bad == "stop" or not rows.lines):
        raise BadInput(*_shortened(rows, path))
    return rows


def scan(path: Path | str, blind: str = TEXT_ALONE, looks: Looks = HEADERS) -> Rows:
    """Every row, good or bad; pairs too. A file without any is `BadInput`."""
    lines: list[int] = []
    shown: list[tuple[Size, ...]] = []
    bad: list[BadRow] = []
    unread: dict[str, None] = {}
    format: Format | None = None
    folder = Path(path).absolute().parent
    for placed in rows_in(path):
        format = format or recognised(placed.row)
        try:
            _refuse(placed, format, blind)
            sizes = sizes_of(refs_of(placed.row), folder, looks) if format is MESSAGES and not blind else ()
        except (WrongRow, Unreadable) as error:
            bad.append(BadRow(placed.number, place(path, placed.number), str(error)))
            continue
        assert format is not None, "a row without a format is wrong"
        lines.append(placed.number)
        shown.append(sizes)
        unread |= dict.fromkeys(_unread(placed.row, format))
    if not lines and not bad:
        hint = f"rows like {MESSAGES.example}"
        raise BadInput(Problem("there are no rows in this file", where=str(path), hint=hint))
    return Rows(tuple(lines), tuple(shown) if any(shown) else (), format or MESSAGES, tuple(bad), tuple(unread))


def _unread(row: Row, format: Format) -> list[str]:
    return [key for key, value in row.items() if key not in format.keys and value is not None]


def repeated(path: Path | str, rows: Rows) -> tuple[str, ...]:
    """Where rows stand that say what a row before them says."""
    seen: set[bytes] = set()
    found = []
    bad = set(rows.bad)
    for placed in rows_in(path):
        if placed.number in bad:
            continue
        read = {key: value for key, value in placed.row.items() if key in rows.format.keys and value is not None}
        digest = hashlib.blake2b(json.dumps(read, sort_keys=True, default=str).encode(), digest_size=16).digest()
        if digest in seen:
            found.append(place(path, placed.number))
        seen.add(digest)
    return tuple(found)


def format_of(path: Path | str) -> Format:
    """Asked of a file that was checked."""
    return next((format for placed in rows_in(path) if (format := recognised(placed.row))), MESSAGES)


def _of_other_task(format: Format, path: Path | str, task: str) -> Problem:
    what = f"its rows are {format.name}"
    if task == "dpo":
        why = "task dpo trains on pairs: which of two answers is preferred"
        return Problem(what, str(path), why, f"rows like {PROMPTED_CHAT.example}, or task sft")
    return Problem(what, str(path), "pairs are for task dpo", f"task dpo, or rows like {MESSAGES.example}")


class WrongRow(Exception):
    """Why a row cannot be trained on."""


def _refuse(placed: Placed, format: Format | None, blind: str) -> None:
    reason = placed.wrong or _wrong(placed.row, format, blind)
    if reason:
        raise WrongRow(reason)


def _wrong(row: Row, format: Format | None, blind: str) -> str:
    own = recognised(row)
    if own is None or format is None:
        return unknown(row)
    if own is not format:
        return f"the row is {own.name}, and the first one is {format.name}: a file has one format"
    if row.get("tools"):
        return "the row has `tools`, which this version would not train on"
    if format is not MESSAGES and has_images(row):
        return f"the row has images: {WITH_MESSAGES}"
    return format.wrong(row, blind)


def _shortened(rows: Rows, path: Path | str) -> Iterator[Problem]:
    bad = rows.left_out
    yield from (Problem(row.reason, where=row.where) for row in bad[:SHOWN])
    more = f"; the first {SHOWN} are named, `finefit data` names all" if len(bad) > SHOWN else ""
    yield Problem(
        f"{len(bad)} of {len(bad) + rows.rows} rows are wrong{more}",
        where=str(path),
        why="rows are never dropped or mended in silence",
        hint=f"rows like {rows.format.example}; or on_bad_row: skip, which leaves them out",
    )


def said_of(rows: Rows, path: Path | str, assistant_only: bool) -> tuple[str, ...]:
    """What a plan says of a file: how its rows are read, and what is not."""
    said = [f"{path}: rows are {rows.format.words(assistant_only)}"]
    if rows.unread:
        said.append(f"{path}: not read: {', '.join(f'`{key}`' for key in rows.unread)}")
    if rows.left_out:
        said.append(_left_out_words(rows, path))
    return tuple(said)


def _left_out_words(rows: Rows, path: Path | str) -> str:
    bad = rows.left_out
    named = "; ".join(f"{row.where}: {row.reason}" for row in bad[:SHOWN])
    more = f"; and {len(bad) - SHOWN} more, which `finefit data` names" if len(bad) > SHOWN else ""
    return f"{path}: {len(bad)} of {len(bad) + rows.rows} rows are left out, as on_bad_row says: {named}{more}"
