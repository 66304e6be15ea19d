"""What somebody asks for an hour of GPUs: as it is listed, and as the answer to a number of GPUs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["on_demand", "spot", "community", "free", "subscription"]
KINDS: tuple[Kind, ...] = get_args(Kind)

Confidence = Literal["high", "medium", "low"]
CONFIDENCES: tuple[Confidence, ...] = get_args(Confidence)

KIND_WORDS: dict[Kind, str] = {
    "on_demand": "on demand",
    "spot": "spot: may be taken away",
    "community": "community: somebody's own machine",
    "free": "free",
    "subscription": "subscription: from a bought contingent",
}


@dataclass(frozen=True)
class Price:
    """A line of a price list."""

    provider: str
    gpu: str
    # as the catalogue names it
    count: int
    # GPUs that are had at usd_per_machine_hour
    up_to: int
    # one machine may have so many, at the same price for each `count`
    kind: Kind
    usd_per_machine_hour: float
    instance: str
    region: str
    date: str
    # of the figure, YYYY-MM-DD
    confidence: Confidence
    source: str
    note: str

    def sells(self, count: int) -> bool:
        """So many GPUs in one machine, none of them idle."""
        return self.count <= count <= self.up_to and count % self.count == 0


@dataclass(frozen=True)
class Offer:
    provider: str
    gpu: str
    count: int
    kind: Kind
    usd_per_hour: float
    # of the whole machine with `count` GPUs
    instance: str
    region: str
    date: str
    confidence: Confidence
    source: str
    why: str
    # its arithmetic, in one sentence
    note: str


@dataclass(frozen=True)
class Listing:
    """The answer to a question for prices."""

    asked: str
    # the GPUs asked for, or empty for all cards
    offers: tuple[Offer, ...]
    counts: tuple[int, ...] = ()
    # numbers of GPUs of the card asked for that are known to be sold in one machine
    notes: tuple[str, ...] = ()
