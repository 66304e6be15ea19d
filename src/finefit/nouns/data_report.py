"""What is in a data file: its rows, how long they are, what of them is trained, and what is wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .bad_rows import BadRow
from .images import InRows


@dataclass(frozen=True)
class Piece:
    text: str
    is_trained: bool


@dataclass(frozen=True)
class Example:
    """A row as the model's chat template writes it."""

    where: str
    tokens: int
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Check:
    what: str
    is_right: bool
    why: str


@dataclass(frozen=True)
class Looked:
    """What the model's tokenizer and chat template make of rows."""

    lengths: tuple[tuple[int, int], ...] | None
    # of each row: all tokens, and the trained ones; None: its rows cannot be written
    examples: tuple[Example, ...]
    checks: tuple[Check, ...]


@dataclass(frozen=True)
class Bin:
    low: int
    high: int
    # both included
    rows: int


@dataclass(frozen=True)
class DataReport:
    path: str
    format: str
    how: str
    # its rows are read, and what of them is trained
    rows: int
    # that can be trained on
    bad: tuple[BadRow, ...]
    repeated: tuple[str, ...]
    # where rows stand that say what an earlier one says
    unread: tuple[str, ...]
    # keys that nobody reads
    images: int
    lengths: tuple[int, ...]
    # tokens of each row
    trained_tokens: int | None
    # None where the format is of pairs
    counted: str
    # how tokens were found
    max_length: int | None
    over: tuple[str, ...]
    # where rows stand that are longer
    examples: tuple[Example, ...] = ()
    checks: tuple[Check, ...] = ()
    notes: tuple[str, ...] = ()
    shown: InRows | None = None
    # None: no row shows an image

    @property
    def image_share(self) -> float | None:
        """Of all tokens, those that stand for pieces of images."""
        total, shown = sum(self.lengths), self.shown
        return None if shown is None or shown.image_tokens is None or not total else shown.image_tokens / total

    @property
    def trained_share(self) -> float | None:
        total = sum(self.lengths)
        return None if self.trained_tokens is None or not total else self.trained_tokens / total


MOST_BINS = 16


def histogram(lengths: Sequence[int]) -> tuple[Bin, ...]:
    """Bins of one width, a power of two, that hold all rows; at most `MOST_BINS`."""
    if not lengths:
        return ()
    width = 1 << max(0, math.ceil(math.log2(max(1, max(lengths)) / MOST_BINS)))
    first, last = ((length - 1) // width for length in (max(1, min(lengths)), max(1, max(lengths))))
    counts = [0] * (last - first + 1)
    for length in lengths:
        counts[(max(1, length) - 1) // width - first] += 1
    return tuple(
        Bin((first + place) * width + 1, (first + place + 1) * width, count) for place, count in enumerate(counts)
    )


def middle(lengths: Sequence[int]) -> int:
    return sorted(lengths)[len(lengths) // 2]
