"""Cheap and telling points first: each next one covers most that is new for its seconds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .design import Pair, pairs_of
from .points import Point


def ordered(points: Sequence[Point], seconds: Callable[[Point], float]) -> list[Point]:
    """All of `points`; once every pair was seen, by seconds alone."""
    left = list(points)
    seen: set[Pair] = set()
    found = []
    while left:
        best = max(left, key=lambda point: ((1 + len(set(pairs_of(point)) - seen)) / seconds(point), point.id))
        left.remove(best)
        seen |= set(pairs_of(best))
        found.append(best)
    return found
