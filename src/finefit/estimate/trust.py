"""How far an estimate may be off, each cause with what it rests on.

Knows: how published runs lay around our figures for them (`Spread`). Does not know: how it is on cards and with methods
that nobody has published; the same spread stands for them.
"""

from __future__ import annotations

from dataclasses import dataclass

from finefit.nouns.knobs import Knobs
from finefit.nouns.range import Basis, Range, Reason, around


@dataclass(frozen=True)
class Spread:
    """Of reserved memory, measured over predicted: at least the middle nine tenths of the rows lie within."""

    rows: int
    below: float
    above: float
    # parts of the prediction
    source: str


SOURCE = "validation/published/results.json: LoRA and QLoRA on a T4 and an RTX 4080, equal rows"
SPREADS = {
    "eager": Spread(33, 0.121, 0.072, SOURCE),
    "fused": Spread(39, 0.015, 0.059, SOURCE),
}
"""Eager attention makes score matrices, whose blocks break up the cache; a test holds these against the file."""


def spread_of(attn_implementation: str) -> Spread:
    return SPREADS["eager" if attn_implementation == "eager" else "fused"]


def method_reason(typical: int, least: int, knobs: Knobs) -> Reason:
    """`least`: what is allocated, under which no reserved memory can be, and what other reasons take below."""
    spread = spread_of(knobs.attn_implementation)
    why = (
        f"nine of ten of {spread.rows} published runs had from {100 * spread.below:.1f} % less "
        f"to {100 * spread.above:.1f} % more than was computed for them"
    )
    below = max(0, min(int(spread.below * typical), typical - least))
    basis: Basis = "guessed" if knobs.expandable_segments else "measured"
    why += "; none of them had expandable segments" if knobs.expandable_segments else ""
    return Reason("error of the method", below, int(spread.above * typical), basis, why)


def device_of(reserved: Range, context: Range) -> Range:
    """What the driver's tools show for the process."""
    return around(reserved.typical + context.typical, (*reserved.reasons, *context.reasons))
