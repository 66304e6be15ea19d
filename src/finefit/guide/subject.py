"""What a guide is about, and everything it may ask: each question once.

Knows: that a recipe which no tape knows takes a rehearsal, and that `--quick` does without. A question that has no
answer has a reason in its place, which the document says.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol, TypeVar

from finefit.nouns.engine import ZeroStage
from finefit.nouns.estimate import Estimate
from finefit.nouns.job import Job, MethodName
from finefit.nouns.matrix import Row
from finefit.nouns.model import Model
from finefit.nouns.offer import Offer
from finefit.nouns.planned import Planned
from finefit.nouns.steps import optimizer_steps
from finefit.search.dials import METHODS
from finefit.world.gpus import machine_named

REFERENCE = "A100 SXM4 80GB"
"""The card of what does not depend on the card."""
USUAL_ROWS = 10_000
"""Where nobody says how many there are: hours follow from it, memory does not."""


ONLY_LEAST = (
    "no tape is shipped of this kind of card, so nothing was searched: micro-batch 1 with every layer recomputed was "
    "rehearsed, which takes the least; a faster recipe may fit too"
)
T = TypeVar("T")


@dataclass(frozen=True)
class Missing:
    """No answer."""

    why: str


class Asks(Protocol):
    def estimate(self, job: Job, *, rehearses: bool | None = None) -> Estimate | Missing:
        """One pinned recipe. `rehearses`: whether it may, whatever is wanted of the rest."""

    def plan(self, job: Job, methods: tuple[MethodName, ...], *, builds: bool) -> Planned | Missing: ...

    def offers(self, gpu: str) -> tuple[Offer, ...]: ...

    def matrix(self, job: Job, counts: tuple[int, ...], methods: tuple[MethodName, ...], rows: int) -> tuple[Row, ...]:
        """Every GPU of the catalogue."""


@dataclass(frozen=True)
class Hours:
    """Of a whole run."""

    steps: int
    low: float
    seconds: float
    high: float


@dataclass
class Subject:
    job: Job
    # wishes; its micro-batch and checkpointing are of the recipe that is taken apart
    model: Model
    gpus: tuple[str, ...]
    # like `2xRTX4090`
    asks: Asks
    rows: int = USUAL_ROWS
    rows_are_given: bool = False
    is_quick: bool = False
    _known: dict[tuple[str, object], Any] = field(default_factory=dict)

    @property
    def length(self) -> int:
        assert self.job.max_length is not None
        return self.job.max_length

    @cached_property
    def base_job(self) -> Job:
        """The recipe that is taken apart, on one card that holds nearly everything."""
        layers = "all" if self.job.gradient_checkpointing == "auto" else self.job.gradient_checkpointing
        return replace(
            self.job,
            gpu=REFERENCE,
            per_device_train_batch_size=self.job.per_device_train_batch_size or 1,
            gradient_accumulation_steps=None,
            gradient_checkpointing=layers,
            zero_stage=None,
            offload=None,
            fsdp=False,
        )

    @cached_property
    def base(self) -> Estimate:
        found = self.asks.estimate(self.base_job, rehearses=True)
        assert isinstance(found, Estimate), found
        return found

    def with_method(self, method: MethodName, **keys: Any) -> Job:
        return replace(self.base_job, method=method, **keys)

    def sharded(self, method: MethodName, gpu: str, count: int, stage: ZeroStage | None, offload: str = "none") -> Job:
        """The same micro-batch on each of several GPUs; None: DDP."""
        micro = self.base_job.per_device_train_batch_size or 1
        keys: dict[str, Any] = {"zero_stage": stage, "offload": offload} if stage is not None else {}
        batch = max(self.job.global_batch_size, micro * count)
        return self.with_method(method, gpu=f"{count}x{gpu}", global_batch_size=batch, **keys)

    def estimate(self, job: Job) -> Estimate | Missing:
        return self._once(("estimate", job), lambda: self.asks.estimate(job))

    def known(self, job: Job) -> Estimate | Missing:
        """Where nothing has to be rehearsed for it."""
        return self._once(("known", job), lambda: self.asks.estimate(job, rehearses=False))

    def planned(self, gpu: str) -> Planned | Missing:
        """The fastest recipe that fits: of the asked method, else of one that needs less."""
        free = replace(self._free(machine_named(gpu).count), gpu=gpu)
        builds = not self.is_quick and self.base.source != "atlas"
        return self._once(("plan", gpu), lambda: self._plan(free, builds))

    def _free(self, ranks: int) -> Job:
        """With nothing pinned that a plan decides, for so many GPUs."""
        job = self.job
        micro = (job.per_device_train_batch_size or 1) if job.image_size else None
        return replace(
            job,
            per_device_train_batch_size=micro,
            gradient_accumulation_steps=None,
            gradient_checkpointing="auto",
            global_batch_size=_divided(job.global_batch_size, ranks * (micro or 1)),
        )

    def _plan(self, free: Job, builds: bool) -> Planned | Missing:
        """Where no tape knows the card's kind, what takes the least of each method, in place of a search."""
        found = self.asks.plan(free, self.methods, builds=builds)
        if isinstance(found, Missing) or found.weighed:
            return found
        least = replace(free, per_device_train_batch_size=1, gradient_checkpointing="all")
        asked = [self.estimate(replace(least, method=method)) for method in self.methods]
        known = [one for one in asked if isinstance(one, Estimate)]
        if not known:
            return next(one for one in asked if isinstance(one, Missing))
        return replace(
            found,
            choice=next((one for one in known if one.verdict == "fits"), None),
            nearest=known[-1],
            passed_over=(),
            weighed=len(known),
            checked=len(known),
            notes=(*found.notes, ONLY_LEAST),
        )

    @property
    def methods(self) -> tuple[MethodName, ...]:
        """The asked one, and those that need less."""
        own = self.job.method
        return METHODS[METHODS.index(own) :] if own in METHODS else (own,)

    @cached_property
    def rows_of_matrix(self) -> tuple[Row, ...]:
        """Beside what the GPUs asked about are fast and dear: as many of every other."""
        counts = tuple(sorted({machine_named(gpu).count for gpu in self.gpus}))
        free = self._free(math.lcm(*counts))
        rows = self.rows if self.job.max_steps < 1 else self.job.max_steps * free.global_batch_size
        return self.asks.matrix(free, counts, self.methods, rows)

    def offers(self, gpu: str) -> tuple[Offer, ...]:
        return self._once(("offers", gpu), lambda: self.asks.offers(gpu))

    def hours(self, estimate: Estimate) -> Hours | None:
        """Of all rows, as often as the job wants to see them."""
        pace = estimate.pace
        if pace is None:
            return None
        each = estimate.knobs.per_device_train_batch_size * estimate.machine.count
        arguments = {
            "max_steps": self.job.max_steps,
            "num_train_epochs": self.job.num_train_epochs,
            "per_device_train_batch_size": each,
            "gradient_accumulation_steps": estimate.knobs.gradient_accumulation_steps,
        }
        steps = optimizer_steps(arguments, self.rows)
        return Hours(steps, steps * pace.low, steps * pace.step_seconds, steps * pace.high)

    def _once(self, key: tuple[str, object], ask: Callable[[], T]) -> T:
        if key not in self._known:
            self._known[key] = ask()
        found: T = self._known[key]
        return found


def _divided(batch: int, by: int) -> int:
    """The next that so many divide."""
    return -(-batch // by) * by


def card_of(gpu: str) -> str:
    """`GeForce RTX 4090`, of `2xRTX4090`."""
    found = machine_named(gpu).gpu
    assert found is not None
    return found.name
