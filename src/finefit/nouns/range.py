"""A number that is not known exactly, and why not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Basis = Literal["measured", "derived", "guessed"]
"""What a reason rests on: somebody's measurement, arithmetic from a source, or neither."""


@dataclass(frozen=True)
class Reason:
    """One cause for which a number may be smaller or larger."""

    what: str
    below_bytes: int
    above_bytes: int
    # by how much at most; neither is negative
    basis: Basis
    why: str


@dataclass(frozen=True)
class Range:
    low: int
    typical: int
    high: int
    reasons: tuple[Reason, ...] = ()
    # what makes it wide: together, their bytes below and above are its width

    def __post_init__(self) -> None:
        assert self.low <= self.typical <= self.high, "a range holds its typical value"


def around(typical: int, reasons: Iterable[Reason]) -> Range:
    """As wide as its reasons add up to: causes that all come at once are the worst case, not the likely one."""
    given = tuple(reasons)
    below = sum(reason.below_bytes for reason in given)
    above = sum(reason.above_bytes for reason in given)
    return Range(typical - below, typical, typical + above, given)
