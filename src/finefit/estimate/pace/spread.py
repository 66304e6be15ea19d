"""How far a predicted time may be off: how published runs lie around our figures for them."""

from __future__ import annotations

from dataclasses import dataclass

from finefit.nouns.engine import Engine

from .setup import Setup


@dataclass(frozen=True)
class Spread:
    faster: float
    slower: float
    # parts of the prediction: nine tenths of the published rows lie between


def spread_of(setup: Setup, engine: Engine | None) -> Spread:
    return Spread(0.15, 0.35)
