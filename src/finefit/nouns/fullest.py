"""The micro-batches of a file's rows that may be the fullest, where rows differ in length and in what they show.

A step's memory grows with the length to which rows are padded and with the patches that the tower sees; where
attention is not one kernel, with their square; and a batch with a shorter row has a mask. A long row need not show
much, so no micro-batch need have the most of all of these. Here are those that no other exceeds.

Knows: any rows may meet, as they do in a shuffled order. Does not know: what a step takes; that it takes no less where
one of these grows is supposed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

MOST = 6
"""That are rehearsed, where more may be the fullest."""


@dataclass(frozen=True)
class Row:
    length: int
    patches: int
    # of all its images, or as many numbers as their pixels become: what grows alike
    squares: int
    # of the patches of each image, summed


Batch = tuple[int, ...]
"""Numbers of rows."""
Measure = tuple[int, int, int, bool]
"""Length of the longest row, patches, squares, and whether a row is padded."""


def measure(rows: Sequence[Row], batch: Batch) -> Measure:
    lengths = [rows[number].length for number in batch]
    patches = sum(rows[number].patches for number in batch)
    squares = sum(rows[number].squares for number in batch)
    return max(lengths), patches, squares, min(lengths) < max(lengths)


def fullest(rows: Sequence[Row], size: int) -> list[Batch]:
    """Longest first. Of any batch of so many rows, one of these is as long, is padded where it is, and has as many
    patches; and one has as large squares."""
    found: dict[Measure, Batch] = {}
    for by in (lambda row: (row.patches, row.squares), lambda row: (row.squares, row.patches)):
        for batch in _fullest_by(rows, min(size, len(rows)), by):
            found.setdefault(measure(rows, batch), batch)
    kept: list[Measure] = []
    for each in sorted(found, reverse=True):
        if not any(_exceeds(other, each) for other in kept):
            kept.append(each)
    return [found[each] for each in kept]


def spread(rows: Sequence[Row], batches: Sequence[Batch], most: int = MOST) -> list[Batch]:
    """Not more than `most` of them: those with the most of each measure, and others evenly between."""
    measures = [measure(rows, batch) for batch in batches]
    numbers = range(len(batches))
    ends = {max(numbers, key=lambda number: (measures[number][what], measures[number])) for what in range(4)}
    between = [number for number in numbers if number not in ends]
    room = min(max(0, most - len(ends)), len(between))
    picked = {between[(2 * place + 1) * len(between) // (2 * room)] for place in range(room)}
    return [batches[number] for number in sorted(ends | picked)]


def _exceeds(one: Measure, other: Measure) -> bool:
    """In nothing less."""
    return all(mine >= its for mine, its in zip(one, other, strict=True))


def _fullest_by(rows: Sequence[Row], size: int, by: Callable[[Row], tuple[int, int]]) -> Iterator[Batch]:
    """Of each length that a row has: the fullest batch with such a row as its longest, of rows of any lengths up to it,
    and the fullest with a shorter one among them."""

    def best(numbers: Sequence[int], count: int) -> list[int]:
        return sorted(numbers, key=lambda number: (*by(rows[number]), -number), reverse=True)[:count]

    in_order = sorted(range(len(rows)), key=lambda number: rows[number].length)
    shorter: list[int] = []
    for _, group in groupby(in_order, key=lambda number: rows[number].length):
        equal = best(list(group), size)
        for always in ([equal[0]], [equal[0], *shorter[:1]]):
            others = best([number for number in (*equal, *shorter) if number not in always], size - len(always))
            if 0 <= size - len(always) == len(others):
                yield (*always, *others)
        shorter = best([*equal, *shorter], size)
