"""Where to record a recipe, so that its tape answers everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count

from .sizes import CHUNK_TOKENS, DOCUMENTS, Point
from .tape import TRUSTED_FROM, Bounds, History

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

MORE = ((4, 697, 16), (1, 3581, 8), (1, 6007, 8), (1, 9005, 12), (6, 1600, 16))
"""(micro-batch, length, rank) beyond the last bound: where one history does not tell all, each is told in company and
alone, of few tokens and of many."""

RANKS = (16, 8, 32, 64)


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
    is_flat: bool = False
    # a micro-batch of several rows is one sequence

    def left(self, points: Iterable[Point]) -> list[Point]:
        """As far as they are free."""
        ranked = list(points) if self.rank is None else [replace(point, rank=self.rank) for point in points]
        return [Point(1, point.tokens, point.rank, documents=DOCUMENTS) for point in ranked] if self.is_flat else ranked

    @property
    def ranks(self) -> tuple[int, ...]:
        return RANKS if self.rank is None else (self.rank,)


def first_points(bounds: Bounds, free: Free) -> list[Point]:
    """Some between any two neighbouring bounds of length, with few and with many tokens."""
    edges = [free.least, *(bound for bound in sorted(bounds.lengths) if bound > free.least)]
    ranges = zip(edges, [*edges[1:], None], strict=True)
    usual = [point for low, high in ranges for point in _between(low, high, free)]
    return free.left([*usual, *_of_few_tokens(usual, bounds, free)])


def _of_few_tokens(usual: Sequence[Point], bounds: Bounds, free: Free) -> Iterator[Point]:
    least = min(point.tokens for point in usual)
    for bound in bounds.tokens:
        if bound < least:
            for batch, part, aligned, rank in FEW:
                rows = free.batch or batch
                length = _length(int(part * bound * batch / rows / free.sequences), aligned)
                if length > free.least:
                    yield Point(rows, length, rank, sequences=free.sequences)


def more_points(bounds: Bounds, free: Free) -> list[Point]:
    last = max((free.least, *bounds.lengths))
    points = [
        Point(free.batch or batch, length // free.sequences, rank, sequences=free.sequences)
        for batch, length, rank in MORE
    ]
    return free.left(point for point in points if point.length > last)


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


def further_points(histories: Sequence[History], bounds: Bounds, free: Free) -> list[Point]:
    """What the histories lack: where one has too few points to be trusted, more under the conditions of those it has;
    else a point where its formulas do not agree."""
    known = {point for history in histories for point in history.points}
    found: list[Point] = []
    for history in histories:
        alike = {bounds.conditions(point): point for point in history.points}
        nearby = [_near(point, bounds, free) for point in alike.values()]
        missing = TRUSTED_FROM - len(history.points)
        for wanted in range(missing):
            point = next(p for p in nearby[wanted % len(nearby)] if p not in known)
            known.add(point)
            found.append(point)
        if missing <= 0 and history.formulas is not None:
            found += [point for point in _probes(bounds, free) if _is_unclear(history, bounds, point)][:1]
    return found


def _probes(bounds: Bounds, free: Free) -> Iterator[Point]:
    """All first points, also with other ranks, and a little beyond multiples of 128, where paddings are told apart: to
    32 and 64 by one more, and of multiples of 16 by sixteen more."""
    for point in (*first_points(bounds, free), *more_points(bounds, free)):
        whole = point.length // 128 * 128
        for length in (point.length, whole + 33, whole + 1, whole + 16):
            if length > free.least:
                yield from (replace(point, length=length, rank=rank) for rank in free.ranks)


def _is_unclear(history: History, bounds: Bounds, point: Point) -> bool:
    return history.covers(point, bounds) and history.numbers(point) is None


def _near(point: Point, bounds: Bounds, free: Free) -> Iterator[Point]:
    """Further and further from a point, always under its conditions, with as many chunks of tokens."""
    for step in count(1):
        for batch in {point.batch, 1 if free.is_flat else free.batch or point.batch + step}:
            for length in (point.length - 16 * step * 3, point.length + 16 * step * 5):
                near = replace(point, batch=batch, length=length, rank=free.ranks[step % len(free.ranks)])
                if (
                    length > max(16, free.least)
                    and near.chunks == point.chunks
                    and bounds.conditions(near) == bounds.conditions(point)
                ):
                    yield near
