"""Every GPU, number of them and method for one model: what fits, how fast, for how much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .engine import DeepSpeed, Engine
from .job import MethodName
from .knobs import Knobs
from .offer import Offer

Verdict = Literal["fits", "tight", "no"]
Tier = Literal["highly recommended", "recommended", "feasible", "challenging", "not recommended"]


@dataclass(frozen=True)
class Wanted:
    """What is to be trained on."""

    rows: int
    epochs: float
    length: int
    # tokens of each row, padding too

    @property
    def tokens(self) -> float:
        return self.rows * self.epochs * self.length


@dataclass(frozen=True)
class Answer:
    """The recipe of a cell, and what it takes; bytes are about."""

    knobs: Knobs
    engine: Engine | None
    layers_checkpointed: int
    peak_bytes: int
    # allocated
    high_bytes: int
    # about the most that the device may show
    least_bytes: int
    # of the smallest recipe with this engine's way (on the GPUs, or with the host's memory): about the most
    off: float
    # by what part of itself the most that the device may show may be off
    step_seconds: float
    tokens_per_step: int

    @property
    def tokens_per_second(self) -> float:
        """Of all GPUs together."""
        return self.tokens_per_step / self.step_seconds

    @property
    def zero_stage(self) -> int | None:
        return self.engine.stage if isinstance(self.engine, DeepSpeed) else None

    @property
    def is_offloaded(self) -> bool:
        return self.knobs.offload != "none"


@dataclass(frozen=True)
class Row:
    gpu: str
    count: int
    method: MethodName
    memory_bytes: int
    # of one GPU
    verdict: Verdict | None
    # None: not known
    answer: Answer | None
    # None where nothing fits, or it is not known
    why: str = ""
    # it is not known, or does not fit
    hours: float | None = None
    offer: Offer | None = None
    # the cheapest; None: no price is known
    tier: Tier | None = None

    @property
    def name(self) -> str:
        return self.gpu if self.count == 1 else f"{self.count}x{self.gpu}"

    @property
    def cost(self) -> float | None:
        """USD."""
        return None if self.hours is None or self.offer is None else self.hours * self.offer.usd_per_hour

    @property
    def headroom(self) -> float | None:
        """Part of a GPU that the smallest recipe leaves."""
        return None if self.answer is None else 1 - self.answer.least_bytes / self.memory_bytes


@dataclass(frozen=True)
class Matrix:
    model: str
    wanted: Wanted
    global_batch_size: int
    rows: tuple[Row, ...]
    legend: tuple[str, ...]
    # what each tier means
    notes: tuple[str, ...]
    seconds: float
    # how long it took
