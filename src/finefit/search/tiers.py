"""How much a cell of the matrix is recommended: by what it leaves of the memory, and by hours and cost beside the best.

The best are the fewest hours of all cells of the same method and number of GPUs that fit, and the least cost of all of
the same method. Where no price is known, hours alone decide, and the highest tier is not given. The numbers are ours;
they are printed under the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from finefit.nouns.matrix import Row, Tier


@dataclass(frozen=True)
class Bounds:
    """The worst that a tier admits, of cells that fit."""

    tier: Tier
    headroom: float
    # at least so much of a GPU is left by the smallest recipe
    slower: float
    # at most so many times the fewest hours
    dearer: float
    # at most so many times the least cost
    offloads: bool
    needs_price: bool = False


BOUNDS = (
    Bounds("highly recommended", 0.10, 10, 1.5, offloads=False, needs_price=True),
    Bounds("recommended", 0.05, 20, 3, offloads=False),
    Bounds("feasible", 0.0, 50, 10, offloads=False),
    Bounds("challenging", 0.0, 200, 30, offloads=True),
)
"""The first that admits a cell is its tier. A tight cell is challenging where its hours and cost are."""


def legend() -> tuple[str, ...]:
    return (*map(_words, BOUNDS), "not recommended: the rest, also what does not fit")


def _words(bounds: Bounds) -> str:
    room = f"{100 * bounds.headroom:.0f} % of a GPU left by the smallest recipe, " if bounds.headroom else ""
    price = ", a known price" if bounds.needs_price else ""
    where = "tight or with the host's memory too" if bounds.offloads else "nothing in the host's memory"
    return (
        f"{bounds.tier}: {room}at most {bounds.slower:g} times the fewest hours of its method on as many GPUs and "
        f"{bounds.dearer:g} times the least cost of its method{price}; {where}"
    )


def with_tiers(rows: Iterable[Row]) -> tuple[Row, ...]:
    rows = tuple(rows)
    best = {(row.method, row.count): _best(row, rows) for row in _one_of_each(rows)}
    return tuple(replace(row, tier=_tier(row, best[row.method, row.count])) for row in rows)


def tier_among(row: Row, rows: Sequence[Row]) -> Tier | None:
    """Of a cell that is none of the rows, by the best of them."""
    return _tier(row, _best(row, rows))


def _one_of_each(rows: Sequence[Row]) -> Iterable[Row]:
    return {(row.method, row.count): row for row in rows}.values()


def _best(like: Row, rows: Sequence[Row]) -> _Best:
    alike = [row for row in rows if row.method == like.method and row.verdict == "fits"]
    return _Best(
        min(_hours(row for row in alike if row.count == like.count), default=0.0), min(_costs(alike), default=None)
    )


@dataclass(frozen=True)
class _Best:
    hours: float
    cost: float | None


def _hours(rows: Iterable[Row]) -> Iterator[float]:
    yield from (row.hours for row in rows if row.hours is not None)


def _costs(rows: Iterable[Row]) -> Iterator[float]:
    """A price of nothing, as of what is given away, is nobody's measure."""
    yield from (row.cost for row in rows if row.cost)


def _tier(row: Row, best: _Best) -> Tier | None:
    if row.verdict is None:
        return None
    return next((bounds.tier for bounds in BOUNDS if _admits(bounds, row, best)), "not recommended")


def _admits(bounds: Bounds, row: Row, best: _Best) -> bool:
    if row.answer is None or row.hours is None or row.headroom is None:
        return False
    if (row.verdict == "tight" or row.answer.is_offloaded) and not bounds.offloads:
        return False
    if row.verdict == "fits" and row.headroom < bounds.headroom:
        return False
    if row.cost is None or best.cost is None:
        is_cheap = not bounds.needs_price
    else:
        is_cheap = row.cost <= bounds.dearer * best.cost
    return is_cheap and (not best.hours or row.hours <= bounds.slower * best.hours)
