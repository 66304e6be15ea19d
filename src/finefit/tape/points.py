"""Where to record a recipe, so that its tape answers everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product

from .sizes import CHUNK_TOKENS, DOCUMENTS, Point, rulers_at, value_at
from .tape import TRUSTED_FROM, Bounds, Tape

REACH = 2048
"""Lengths beyond the last bound that are recorded."""
PLACES = (
    (1, 1, 0.593, False, 16),
    (1, 0, 0.977, False, 64),
    (1, 0, 0.5, True, 12),
    (2, 1, 0.75, True, 24),
    (3, 1, 0.54, False, 8),
)
"""(chunks of tokens, 0 for one row or 1 for several, place between two bounds, whether a multiple of 16, rank): every
condition is met and not met."""


FEW = ((1, 0.62, False, 16), (1, 0.85, True, 8), (3, 0.3, False, 12), (2, 0.45, True, 24))
"""(rows, of a bound of tokens, whether a multiple of 16, rank): where nothing else has as few tokens as that."""

COMPANY = (2, 3, 5)
"""Rows of a micro-batch of several: where one history does not tell all, each must tell of several numbers of them."""
PARTS = (0.59, 0.74, 0.47)
"""Of the way between two bounds of tokens."""
RANKS = (16, 8, 32, 64, 4)
STEPS = 100
"""Away from a point at most: where rows may not be long, there may be none near it."""


@dataclass(frozen=True)
class Free:
    """What a recipe leaves to its points."""

    rank: int | None = None
    # the one of all; None: several
    sequences: int = 1
    # of a row; lengths are as much shorter as rows have more
    batch: int | None = None
    # the one of all; None: several
    least: int = 0
    # lengths are beyond it
    most: int | None = None
    # no sequence is longer
    is_flat: bool = False
    # a micro-batch of several rows is one sequence

    def left(self, points: Iterable[Point]) -> list[Point]:
        """As far as they are free."""
        ranked = list(points) if self.rank is None else [replace(point, rank=self.rank) for point in points]
        return [Point(1, point.tokens, point.rank, documents=DOCUMENTS) for point in ranked] if self.is_flat else ranked

    def has(self, length: int) -> bool:
        """As the length of a row."""
        return max(16, self.least) < length <= (self.most or length)

    def company(self, tokens: float) -> tuple[int, ...]:
        """Numbers of several rows that share so many tokens: more of them where rows may not be long."""
        more = int(tokens // (self.most * self.sequences)) if self.most else 0
        return tuple(rows + more for rows in COMPANY)

    @property
    def ranks(self) -> tuple[int, ...]:
        return RANKS if self.rank is None else (self.rank,)


def first_points(bounds: Bounds, free: Free) -> list[Point]:
    """Some between any two neighbouring bounds of length, with few and with many tokens."""
    edges = [free.least, *(bound for bound in sorted(bounds.lengths) if bound > free.least)]
    ranges = zip(edges, [*edges[1:], free.most], strict=True)
    usual = [point for low, high in ranges for point in _between(low, high, free)]
    return free.left([*usual, *_of_few_tokens(usual, bounds, free)])


def _of_few_tokens(usual: Sequence[Point], bounds: Bounds, free: Free) -> Iterator[Point]:
    least = min(point.tokens for point in usual)
    for bound in bounds.tokens:
        if bound < least:
            for batch, part, aligned, rank in FEW:
                rows = free.batch or batch
                length = _length(int(part * bound * batch / rows / free.sequences), aligned)
                if free.has(length):
                    yield Point(rows, length, rank, sequences=free.sequences)


def _between(low: int, high: int | None, free: Free) -> Iterator[Point]:
    reach = (REACH if high is None else min(high - low, REACH)) // free.sequences
    for chunks, several, fraction, aligned, rank in PLACES:
        length = _length(low + int(reach * fraction), aligned)
        rows = free.batch or (_rows(chunks, length * free.sequences) if several else 1)
        yield Point(rows, length, rank, sequences=free.sequences)


def _rows(chunks: int, tokens: int) -> int:
    """The most rows of so many chunks, two at least; `tokens`: of a row."""
    return max(2, chunks * CHUNK_TOKENS // tokens)


def _length(near: int, aligned: bool) -> int:
    return near // 16 * 16 if aligned else near | 1


def further_points(tape: Tape, free: Free) -> list[Point]:
    """What its histories lack: where there are several, points under conditions of which none of them tells; then what
    makes each of them sure."""
    untold = _untold(tape, free) if len(tape.histories) > 1 else []
    return untold or _unsure(tape, free)


def _untold(tape: Tape, free: Free) -> list[Point]:
    """One point under each."""
    first = {tape.bounds.conditions(point): point for point in reversed(crossed(tape.bounds, free))}
    return [point for point in first.values() if not tape.is_told(point)]


def crossed(bounds: Bounds, free: Free) -> list[Point]:
    """Every condition beside every other: one row alone and some in company, a multiple of 16 or not, between any two
    neighbouring bounds of length and of tokens, up to three chunks."""
    chunks = [CHUNK_TOKENS * number for number in range(4)]
    edges = sorted({*chunks, *(bound for bound in bounds.tokens if bound < chunks[-1])})
    found = []
    for number, ((low, high), is_aligned) in enumerate(product(pairwise(edges), (False, True))):
        rank, turn = RANKS[number % len(RANKS)], number % len(COMPANY)
        tokens = low + (high - low) * PARTS[turn]
        company = free.company(tokens)
        for rows in (1, *company[turn:], *company[:turn]) if free.batch is None else (free.batch,):
            length = _length(int(tokens / rows / free.sequences), is_aligned)
            point = Point(rows, length, rank, sequences=free.sequences)
            if free.has(length) and low < point.tokens <= high:
                found.append(point)
    return free.left(found)


def _unsure(tape: Tape, free: Free) -> list[Point]:
    """Where one has too few points to be trusted, more under the conditions of those it has; else a point where its
    formulas do not agree."""
    known = {point for history in tape.histories for point in history.points}
    found: list[Point] = []
    for history in tape.histories:
        alike = {tape.bounds.conditions(point): point for point in history.points}
        nearby = [_near(point, tape.bounds, free) for point in alike.values()]
        for wanted in range(TRUSTED_FROM - len(history.points)):
            point = next((p for p in nearby[wanted % len(nearby)] if p not in known), None)
            if point is not None:
                known.add(point)
                found.append(point)
    return [*found, *_unclear(tape, free)]


def _unclear(tape: Tape, free: Free) -> Iterator[Point]:
    """The first point of each history where its formulas of one size do not agree."""
    doubtful = [(each, [formulas for formulas in each.formulas or () if len(formulas) > 1]) for each in tape.histories]
    left = {id(history): formulas for history, formulas in doubtful if formulas}
    for point in _probes(tape.bounds, free) if left else ():
        history = tape.history_at(point)
        if history is not None and id(history) in left:
            values = rulers_at(point, history.widths)
            if None in (value_at(formulas, values) for formulas in left[id(history)]):
                del left[id(history)]
                yield point


def _probes(bounds: Bounds, free: Free) -> Iterator[Point]:
    """Points under all conditions, also with other ranks, and a little beyond multiples of 128, where paddings are told
    apart: to 32 and 64 by one more, and of multiples of 16 by sixteen more."""
    for point in (*first_points(bounds, free), *crossed(bounds, free)):
        whole = point.length // 128 * 128
        for length in (point.length, whole + 33, whole + 1, whole + 16):
            if free.is_flat or free.has(length):
                yield from (replace(point, length=length, rank=rank) for rank in free.ranks)


def _near(point: Point, bounds: Bounds, free: Free) -> Iterator[Point]:
    """Further and further from a point, always under its conditions, with as many chunks of tokens."""
    for step in range(1, STEPS):
        for batch in {point.batch, 1 if free.is_flat else free.batch or point.batch + step}:
            for length in (point.length - 16 * step * 3, point.length + 16 * step * 5):
                near = replace(point, batch=batch, length=length, rank=free.ranks[step % len(free.ranks)])
                if (
                    (free.is_flat or free.has(length))
                    and near.chunks == point.chunks
                    and bounds.conditions(near) == bounds.conditions(point)
                ):
                    yield near
