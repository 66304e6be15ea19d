"""A micro-batch as it would be with shorter rows: some tokens of each, evenly spread, so the trained ones' share stays.

Knows: padding, and whether the length is a multiple of 16, on which kernels depend, stay as they are. Does not know:
what else may make a shorter step another one (the planner finds that in its recording).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from operator import sub

from . import pairs
from .batches import Row, longest_of
from .packing import DOCUMENTS

PARTS = (3 / 4, 3 / 8)
"""Of the length: with the whole, sizes at three lengths, which is enough for what grows with its square."""
SHORTEST = 32


def shorter_rows(rows: Sequence[Row]) -> Iterator[list[Row]]:
    longest = longest_of(rows)
    for part in PARTS:
        length = _of_kind(int(longest * part), longest)
        if SHORTEST <= length < longest:
            yield [_thinned(row, longest, length) for row in rows]


def _of_kind(wanted: int, longest: int) -> int:
    return wanted // 16 * 16 if longest % 16 == 0 else wanted | 1


def _thinned(row: Row, longest: int, length: int) -> Row:
    """Rounded down, so what was padded is padded still."""
    if pairs.PROMPT in row:
        return pairs.thinned(row, longest, length)
    before = len(row["input_ids"])
    tokens = max(1, before * length // longest)
    thinned = {
        name: [values[place * before // tokens] for place in range(tokens)]
        for name, values in row.items()
        if name != DOCUMENTS
    }
    return thinned | ({DOCUMENTS: _shortened(row[DOCUMENTS], tokens)} if DOCUMENTS in row else {})


def _shortened(documents: Sequence[int], tokens: int) -> list[int]:
    """As many as there is room for, of at least a token each."""
    ends = [end * tokens // sum(documents) for end in accumulate(documents)]
    found = [length for length in map(sub, ends, [0, *ends]) if length]
    return found if len(found) > 1 or len(documents) == 1 else [tokens - 1, 1]
