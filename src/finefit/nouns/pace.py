"""How long an optimizer step takes, and where its time goes."""

from __future__ import annotations

from dataclasses import dataclass

from .range import Basis

OPTIMIZER = "optimizer"


@dataclass(frozen=True)
class Share:
    """A part of a step's time."""

    what: str
    seconds: float
    basis: Basis
    why: str


@dataclass(frozen=True)
class Pace:
    shares: tuple[Share, ...]
    # of one optimizer step; together they are its time
    low: float
    high: float
    # seconds of a step, at least and at most
    tokens: int
    # that all GPUs read in a step, padding too
    operations: float = 0.0
    # of floating point, of one GPU in a step, recomputing too
    sent_bytes: float = 0.0
    # to other GPUs, by one GPU in a step
    host_bytes: float = 0.0
    # to the host's memory and back, by one GPU in a step
    launch_seconds: float = 0.0
    # that a processor takes to start the kernels of a step's micro-batches, however short their rows are
    correction: float = 1.0
    # by runs on this GPU: what the time was multiplied with
    rates_measured: str = ""
    # when they were, on this machine; empty: they are the catalogue's

    @property
    def step_seconds(self) -> float:
        return sum(share.seconds for share in self.shares)

    @property
    def optimizer_seconds(self) -> float:
        """Of a step, however short its rows are."""
        return self.correction * sum(share.seconds for share in self.shares if share.what == OPTIMIZER)

    @property
    def plain_seconds(self) -> float:
        """As the rates alone have it: what a finished run is held against."""
        return self.step_seconds / self.correction

    @property
    def tokens_per_second(self) -> float:
        """Of all GPUs together."""
        return self.tokens / self.step_seconds

    @property
    def slowest(self) -> float:
        return self.tokens / self.high

    @property
    def fastest(self) -> float:
        return self.tokens / self.low
