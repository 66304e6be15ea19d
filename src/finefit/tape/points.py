"""Where to record a recipe, so that its tape answers everywhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count

from .sizes import CHUNK_TOKENS, Point
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


MORE = ((4, 697, 16), (1, 3581, 8), (1, 6007, 8), (1, 9005, 12), (6, 1600, 16))
"""(micro-batch, length, rank) beyond the last bound: where one history does not tell all, each is told in company and
alone, of few tokens and of many."""


def first_points(bounds: Bounds, rank: int | None, sequences: int = 1) -> list[Point]:
    """Some between any two neighbouring bounds of length, with few and with many tokens; `rank`: the one of all, None
    for several. Where a row is several `sequences`, lengths are as much shorter as rows have more."""
    edges = [0, *sorted(bounds.lengths)]
    ranges = zip(edges, [*edges[1:], None], strict=True)
    points = [point for low, high in ranges for point in _between(low, high, sequences)]
    return _of_rank(points, rank)


def _of_rank(points: Sequence[Point], rank: int | None) -> list[Point]:
    return list(points) if rank is None else [replace(point, rank=rank) for point in points]


def more_points(bounds: Bounds, rank: int | None, sequences: int = 1) -> list[Point]:
    last = max((0, *bounds.lengths))
    points = [Point(batch, length // sequences, rank, sequences=sequences) for batch, length, rank in MORE]
    return _of_rank([point for point in points if point.length > last], rank)


def _between(low: int, high: int | None, sequences: int) -> Iterator[Point]:
    reach = (REACH if high is None else min(high - low, REACH)) // sequences
    for chunks, several, fraction, aligned, rank in PLACES:
        length = _length(low + int(reach * fraction), aligned)
        rows = _rows(chunks, length * sequences) if several else 1
        yield Point(rows, length, rank, sequences=sequences)


def _rows(chunks: int, tokens: int) -> int:
    """The most rows of so many chunks, two at least; `tokens`: of a row."""
    return max(2, chunks * CHUNK_TOKENS // tokens)


def _length(near: int, aligned: bool) -> int:
    return near // 16 * 16 if aligned else near | 1


RANKS = (16, 8, 32, 64)


def further_points(histories: Sequence[History], bounds: Bounds, rank: int | None) -> list[Point]:
    """What the histories lack: where one has too few points to be trusted, more under the conditions of those it has;
    else a point where its formulas do not agree."""
    known = {point for history in histories for point in history.points}
    found: list[Point] = []
    for history in histories:
        alike = {bounds.conditions(point): point for point in history.points}
        nearby = [_near(point, bounds, rank) for point in alike.values()]
        missing = TRUSTED_FROM - len(history.points)
        for wanted in range(missing):
            point = next(p for p in nearby[wanted % len(nearby)] if p not in known)
            known.add(point)
            found.append(point)
        if missing <= 0 and history.formulas is not None:
            probes = _probes(bounds, rank, history.points[0].sequences)
            found += [point for point in probes if _is_unclear(history, bounds, point)][:1]
    return found


def _probes(bounds: Bounds, rank: int | None, sequences: int) -> Iterator[Point]:
    """All first points, also with other ranks, and a little beyond a multiple of 128, where no two paddings are one."""
    for point in (*first_points(bounds, rank, sequences), *more_points(bounds, rank, sequences)):
        for near in (point, replace(point, length=point.length // 128 * 128 + 33)):
            yield from [replace(near, rank=each) for each in RANKS] if rank is None else [near]


def _is_unclear(history: History, bounds: Bounds, point: Point) -> bool:
    return history.covers(point, bounds) and history.numbers(point) is None


def _near(point: Point, bounds: Bounds, rank: int | None) -> Iterator[Point]:
    """Further and further from a point, always under its conditions, with as many chunks of tokens."""
    for step in count(1):
        for batch in {point.batch, point.batch + step}:
            for length in (point.length - 16 * step * 3, point.length + 16 * step * 5):
                near = replace(
                    point, batch=batch, length=length, rank=RANKS[step % len(RANKS)] if rank is None else point.rank
                )
                if length > 16 and near.chunks == point.chunks and bounds.conditions(near) == bounds.conditions(point):
                    yield near
