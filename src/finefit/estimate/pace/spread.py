"""How far a predicted time may be off: how published runs lay around our figures for them.

Knows: that a step whose kernels take long is told well, and one in which the processor nearly sets the pace is not,
since nobody says which processor it was. Does not know: engines on links that nobody has published; what is guessed
for them widens the slow side.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from finefit.nouns.engine import Engine


@dataclass(frozen=True)
class Spread:
    """At least the middle nine tenths of the stock rows lie within (validation/published/results_speed.json)."""

    busy_from: float
    # seconds of a micro-batch's kernels, over those that the processor takes to start them
    rows: int
    faster: float
    slower: float
    # parts of the predicted time


SPREADS = (
    Spread(8, 63, faster=0.22, slower=0.25),
    Spread(4, 5, faster=0.22, slower=0.50),
    Spread(0, 8, faster=0.22, slower=1.00),
)
"""A test holds these against the file. Of the last, the slowest runs are steps that load their kernels first."""
LINKS = 0.25
"""Guessed: what an engine's waiting may add."""


def spread_of(busy: float, engine: Engine | None) -> Spread:
    found = next(spread for spread in SPREADS if busy >= spread.busy_from)
    return found if engine is None or engine.ranks == 1 else replace(found, slower=found.slower + LINKS)
