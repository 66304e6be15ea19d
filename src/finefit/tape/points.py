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


def first_points(bounds: Bounds, rank: int | None) -> list[Point]:
    """Some between any two neighbouring bounds of length, with few and with many tokens; `rank`: the one of all, None
    for several."""
    edges = [0, *sorted(bounds.lengths)]
    points = [point for low, high in zip(edges, [*edges[1:], None], strict=True) for point in _between(low, high)]
    return _of_rank(points, rank)


def _of_rank(points: Sequence[Point], rank: int | None) -> list[Point]:
    return list(points) if rank is None else [replace(point, rank=rank) for point in points]


def more_points(bounds: Bounds, rank: int | None) -> list[Point]:
    last = max((0, *bounds.lengths))
    return _of_rank([Point(*place) for place in MORE if place[1] > last], rank)


def _between(low: int, high: int | None) -> Iterator[Point]:
    reach = REACH if high is None else min(high - low, REACH)
    for chunks, several, fraction, aligned, rank in PLACES:
        length = _length(low + int(reach * fraction), aligned)
        yield Point(_rows(chunks, length) if several else 1, length, rank)


def _rows(chunks: int, length: int) -> int:
    """The most rows of so many chunks, two at least."""
    return max(2, chunks * CHUNK_TOKENS // length)


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
            found += [point for point in _probes(bounds, rank) if _is_unclear(history, bounds, point)][:1]
    return found


def _probes(bounds: Bounds, rank: int | None) -> Iterator[Point]:
    """All first points, also with other ranks, and a little beyond a multiple of 128, where no two paddings are one."""
    for point in (*first_points(bounds, rank), *more_points(bounds, rank)):
        for near in (point, replace(point, length=point.length // 128 * 128 + 33)):
            yield from [replace(near, rank=each) for each in RANKS] if rank is None else [near]


def _is_unclear(history: History, bounds: Bounds, point: Point) -> bool:
    return history.covers(point, bounds) and history.numbers(point) is None


def _near(point: Point, bounds: Bounds, rank: int | None) -> Iterator[Point]:
    """Further and further from a point, always under its conditions, with as many chunks of tokens."""
    for step in count(1):
        for batch in {point.batch, point.batch + step}:
            for length in (point.length - 16 * step * 3, point.length + 16 * step * 5):
                near = Point(batch, length, RANKS[step % len(RANKS)] if rank is None else point.rank)
                if length > 16 and near.chunks == point.chunks and bounds.conditions(near) == bounds.conditions(point):
                    yield near
