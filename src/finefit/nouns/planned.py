"""What a search found: the fastest recipe that fits, those behind it, and what was passed over."""

from __future__ import annotations

from dataclasses import dataclass

from .advice import Advice
from .engine import Engine, is_plain
from .estimate import Estimate
from .knobs import Knobs
from .machine import Machine
from .method import Method, name_of
from .pace import Pace
from .workload import Packing, Workload

NEARLY = 0.2
"""Of an allocated peak under an engine that divides something: at most so much too high (tests/search)."""


@dataclass(frozen=True)
class Candidate:
    """A recipe that was weighed."""

    method: Method
    knobs: Knobs
    engine: Engine | None
    peak_bytes: int
    # allocated
    pace: Pace
    own_tokens_per_second: float | None = None
    # of the job's own rows, which are padded and short, or packed; None: every row is as long as the longest

    @property
    def least_bytes(self) -> int:
        """What is certainly allocated: under an engine a few layers tell the difference to another recipe nearly."""
        return self.peak_bytes if is_plain(self.engine) else int(self.peak_bytes * (1 - NEARLY))

    @property
    def tokens_per_second(self) -> float:
        """Without padding, of all GPUs together."""
        return self.own_tokens_per_second or self.pace.tokens_per_second

    @property
    def seconds_per_token(self) -> float:
        """By which recipes are compared."""
        return 1 / self.tokens_per_second

    @property
    def family(self) -> Family:
        knobs = self.knobs
        size = knobs.per_device_train_batch_size
        return Family(name_of(self.method), self.engine, size, knobs.optim, knobs.packing)


@dataclass(frozen=True)
class Family:
    """Recipes that differ in how many layers are checkpointed, and in nothing else."""

    method: str
    engine: Engine | None
    micro_batch: int
    optim: str
    packing: bool = False


@dataclass(frozen=True)
class Weighed:
    """A candidate, and the most that its device may show."""

    candidate: Candidate
    high_bytes: int
    is_checked: bool
    # with the allocator; else as those that were checked let expect


@dataclass(frozen=True)
class PassedOver:
    """Recipes that are not the choice, and why."""

    what: str
    why: str


@dataclass(frozen=True)
class Chosen:
    """Why a run has the knobs that it has: a search found them."""

    weighed: int
    # recipes
    checked: int
    # of them, with the allocator
    alternatives: tuple[Weighed, ...]
    # that fit too, the fastest first


@dataclass(frozen=True)
class Planned:
    machine: Machine
    choice: Estimate | None
    # None: nothing fits
    nearest: Estimate | None
    # what lacks least, where nothing fits
    alternatives: tuple[Weighed, ...]
    # that fit too, the fastest first
    passed_over: tuple[PassedOver, ...]
    weighed: int
    # recipes
    checked: int
    # of them, with the allocator
    seconds: float
    notes: tuple[str, ...] = ()
    workload: Workload | None = None
    # of the job's own rows on the choice
    advice: tuple[Advice, ...] = ()
    # in both directions, about the choice, or about what lacks least
    packing: Packing | None = None
    # of the job's own rows: what it does for them, or would do


@dataclass(frozen=True)
class NoFit:
    """A job whose run would not be on its GPU: an answer, not an error."""

    planned: Planned
    # without a choice
