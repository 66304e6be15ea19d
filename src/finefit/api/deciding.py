"""The recipe that a job is trained with: what the job leaves open the search answers, as `plan` does; what comes of it
the job's own rows say, rehearsed.

Knows: one GPU without an engine, unless the job pins one; several GPUs under the engine that a plan would choose. A run
starts where the most that it may show is on the card; where a job pins something, also where only the uncertain upper
part of the range is not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from finefit.catalog.measured import rates_on
from finefit.nouns.estimate import Estimate
from finefit.nouns.job import Job
from finefit.nouns.machine import Gpu, Machine
from finefit.nouns.observer import Observer
from finefit.nouns.planned import Candidate, Chosen, NoFit, PassedOver, Planned
from finefit.rehearsal.files import Files
from finefit.rehearsal.own_rows import OwnRows
from finefit.rehearsal.recipe import Recipe
from finefit.search.dials import micro_batches
from finefit.search.fastest import Search, order
from finefit.search.plan import recipe_words
from finefit.search.rungs import next_rung, rungs
from finefit.units import human_bytes

from .own_rows import on_rows
from .searching import Searched, search_for, sought

RUNGS = 4
"""Tried at most: each is a rehearsal, of some ten seconds. The last is the one that takes least."""
ALONE = (
    "on one GPU nothing was offloaded: `zero_stage: 3` with `offload: all` says so in a job; `finefit plan` weighs it"
)


@dataclass(frozen=True)
class Wish:
    """A job, and what of it does not change while its recipe is looked for."""

    job: Job
    files: Files
    recipe: Recipe
    # as `choose` has it
    observer: Observer

    @property
    def gpu(self) -> Gpu | None:
        return self.recipe.machine.gpu

    @property
    def is_settled(self) -> bool:
        """Nothing is left that a search would turn."""
        job, ranks = self.job, self.recipe.machine.count
        has_engine = ranks == 1 or job.zero_stage is not None or job.fsdp
        return has_engine and len(micro_batches(job, ranks)) == 1 and job.gradient_checkpointing != "auto"

    @property
    def is_pinned(self) -> bool:
        """Something is that a search would turn."""
        job = self.job
        said = (job.per_device_train_batch_size, job.gradient_accumulation_steps)
        return any(one is not None for one in said) or job.gradient_checkpointing != "auto"

    def searched(self) -> Searched:
        model, machine = self.recipe.model, self.recipe.machine
        about = sought(self.job, model, machine, self.files.train)
        return search_for(about, (self.job.method,), self.observer.stage, has_engines=machine.count > 1)

    def tried(self, recipe: Recipe) -> Tried:
        shorter = "" if self.gpu is None else ", and two of shorter rows"
        self.observer.stage(f"rehearsing the training step{shorter}")
        return Tried(*on_rows(self.job, self.files, recipe, self.observer.note))

    def with_knobs(self, candidate: Candidate) -> Recipe:
        return replace(self.recipe, knobs=replace(candidate.knobs, max_length=self.recipe.knobs.max_length))


@dataclass(frozen=True)
class Tried:
    """A recipe, rehearsed with the job's own rows."""

    estimate: Estimate
    own: OwnRows

    @property
    def high_bytes(self) -> int:
        """The most that the device may show."""
        device = self.estimate.ledger.device
        assert device is not None
        return device.high


@dataclass(frozen=True)
class Decided:
    tried: Tried
    chosen: Chosen | None = None
    notes: tuple[str, ...] = ()


def decide(wish: Wish) -> Decided | NoFit:
    """Raises `BadInput`."""
    gpu = wish.gpu
    if gpu is None:
        return Decided(wish.tried(wish.recipe))
    if wish.is_settled or rates_on(gpu) is None:
        tried = wish.tried(wish.recipe)
        runs = _runs(tried, gpu, is_pinned=True)
        return NoFit(_settled(wish, tried)) if runs is None else replace(runs, notes=(*runs.notes, *_usual(wish, gpu)))
    found = wish.searched()
    first = found.answer.best or found.answer.nearest
    if first is None or first.least_bytes > gpu.vram_bytes:
        return NoFit(_alone(found.planned()))
    return _descended(wish, gpu, found, first)


def _usual(wish: Wish, gpu: Gpu) -> tuple[str, ...]:
    if wish.is_settled:
        return ()
    what = f"how fast {gpu.name} is, is not known: what the job leaves open is as usual, and not the fastest"
    return (f"{what}; `finefit calibrate` measures it",)


def _descended(wish: Wish, gpu: Gpu, found: Searched, first: Candidate) -> Decided | NoFit:
    """Until the job's own rows fit, or there is nothing lower."""
    below, rung, search = rungs(found.answer.among, first), first, replace(found.search, known={})
    while True:
        tried = wish.tried(wish.with_knobs(rung))
        search.known[rung] = tried.high_bytes
        lower = next_rung(below, search, is_last=len(search.known) == RUNGS - 1)
        if tried.high_bytes <= search.limit_bytes or lower is None:
            break
        lacks = _lacks(rung, search)
        wish.observer.note(f"{lacks.what}: {lacks.why}: one rung lower, {recipe_words(lower)}")
        rung = lower
    runs = _runs(tried, gpu, wish.is_pinned)
    if runs is None:
        return NoFit(_lacking(found, tried, search, rung))
    behind = tuple(one for one in found.answer.alternatives if order(one.candidate) > order(rung))
    return replace(runs, chosen=Chosen(found.answer.weighed, len(found.search.known), behind))


def _runs(tried: Tried, gpu: Gpu, is_pinned: bool) -> Decided | None:
    """None: it does not fit, or the job has not pinned what is only likely to."""
    match tried.estimate.verdict:
        case "fits" | None:
            return Decided(tried)
        case "tight" if is_pinned:
            return Decided(tried, notes=(_tight(tried, gpu),))
        case "tight" | "no":
            return None


def _tight(tried: Tried, gpu: Gpu) -> str:
    device = tried.estimate.ledger.device
    assert device is not None
    what = f"{human_bytes(device.typical)} are likely and {human_bytes(device.high)} possible"
    return f"this is tight: {what}, and {gpu.name} holds {human_bytes(gpu.sure_bytes)}"


def _lacks(rung: Candidate, search: Search) -> PassedOver:
    most, limit = human_bytes(search.known[rung]), human_bytes(search.limit_bytes)
    return PassedOver(recipe_words(rung), f"{most} at most with the job's own rows, and {limit} are there")


def _lacking(found: Searched, tried: Tried, search: Search, rung: Candidate) -> Planned:
    """As a plan says it, of what was rehearsed with the job's own rows; `rung`: the last of it."""
    planned = found.planned()
    tries = () if planned.choice is None else tuple(_lacks(one, search) for one in search.known)
    found.search.known |= search.known
    return replace(
        planned,
        choice=None,
        nearest=tried.estimate,
        alternatives=(),
        passed_over=tries or planned.passed_over,
        workload=None,
        advice=found.advice(rung),
        notes=(*planned.notes, *_of_one(planned.machine), *_how_to_insist(tried)),
    )


def _alone(planned: Planned) -> Planned:
    return replace(planned, notes=(*planned.notes, *_of_one(planned.machine)))


def _of_one(machine: Machine) -> tuple[str, ...]:
    return (ALONE,) if machine.count == 1 else ()


def _how_to_insist(tried: Tried) -> tuple[str, ...]:
    if tried.estimate.verdict != "tight":
        return ()
    knobs = tried.estimate.knobs
    layers = "none" if knobs.gradient_checkpointing == 0 else knobs.gradient_checkpointing
    pins = f"per_device_train_batch_size: {knobs.per_device_train_batch_size}, gradient_checkpointing: {layers}"
    return (f"what is likely is on the card, and only the worst case is not: a job that pins it is run ({pins})",)


def _settled(wish: Wish, tried: Tried) -> Planned:
    """Of a recipe that left nothing to search."""
    machine, gpu = wish.recipe.machine, wish.gpu
    assert gpu is not None
    if rates_on(gpu) is None:
        return Planned(machine, None, tried.estimate, (), (), 0, 0, tried.estimate.seconds)
    found = wish.searched()
    rung = found.answer.best or found.answer.nearest
    if rung is None:
        return _alone(replace(found.planned(), nearest=tried.estimate))
    search = replace(found.search, known={rung: tried.high_bytes})
    return _lacking(found, tried, search, rung)
