"""How far a predicted time may be off: how published runs lay around our figures for them.

Knows: that a step whose kernels take long is told well, and one in which the processor nearly sets the pace is not,
since nobody says which processor it was. Where this machine's own was measured, the step is told as well as one whose
kernels are a tier longer: not better, since one processor took 9 µs for a kernel of full training and 21 µs for one of
LoRA under autocast. Where enough runs were timed on this GPU, they say it themselves, and no interval grows by them.
Does not know: engines on links that nobody has published; what is guessed for them widens the slow side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from finefit.catalog.rates import Rates
from finefit.nouns.engine import Engine

from .past import correction, seen


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


def spread_of(busy: float, engine: Engine | None, rates: Rates | None = None) -> Spread:
    """Of the corrected time."""
    tier = next(number for number, spread in enumerate(SPREADS) if busy >= spread.busy_from)
    found = SPREADS[max(0, tier - 1) if rates is not None and rates.measured else tier]
    if engine is not None and engine.ranks > 1:
        found = replace(found, slower=found.slower + LINKS)
    return found if rates is None else _narrowed(found, rates.ratios)


def _narrowed(found: Spread, ratios: Sequence[float]) -> Spread:
    own = seen(ratios)
    if own is None:
        return found
    least, most = (ratio / correction(ratios) for ratio in own)
    return replace(found, faster=min(found.faster, max(0.0, 1 - least)), slower=min(found.slower, max(0.0, most - 1)))
