"""`estimate`: the memory and the time of one pinned recipe."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from finefit.catalog.measured import rates_on
from finefit.estimate.generation import ledger_of_answer
from finefit.estimate.held import held_by
from finefit.estimate.host import host_of
from finefit.estimate.left_out import left_out
from finefit.estimate.pace.pace import pace_of, work_of
from finefit.estimate.rehearsed import ledger_from, spread, spread_alike
from finefit.lower.images import cannot_show
from finefit.lower.orders import REHEARSED_ACCUMULATION
from finefit.nouns.engine import Engine
from finefit.nouns.estimate import Estimate
from finefit.nouns.images import Images
from finefit.nouns.job import Job
from finefit.nouns.knobs import Knobs
from finefit.nouns.loop import Loop
from finefit.nouns.method import Method
from finefit.nouns.pace import Pace
from finefit.nouns.recording import Recording
from finefit.nouns.task import DPO, ROWS, Generate, Training
from finefit.rehearsal.find import at_half, find, known
from finefit.rehearsal.generation import Writing
from finefit.rehearsal.generation import find as find_answer
from finefit.rehearsal.own_rows import Files, OwnRows, checked_files, rehearse_rows
from finefit.rehearsal.recipe import OURS, Recipe
from finefit.rehearsal.timed import setup_of
from finefit.search import packing
from finefit.search.choice import suited
from finefit.search.engine import engine_for, of_one_rank
from finefit.search.generation import parts_to_write
from finefit.search.packed import beside_packed
from finefit.search.preferences import refuse_unproven, supposed_of
from finefit.world.models import find_model, with_tokenizer

from .asked import machine_or_reference, method_of, on_one

ALIKE = (
    "all prompts are as long as the longest, and nothing ends an answer early; the likeliest token is taken: sampling "
    "sorts the logits, and padded prompts keep a mask, which are not modelled"
)


OF_ONE_RANK = (
    "predicted is the rank that takes most, with the micro-batch that has the longest row; in which order ranks meet "
    "shorter rows is not replayed"
)


def estimate(
    model: str,
    *,
    method: Method,
    knobs: Knobs,
    gpu: str = "auto",
    trust_remote_code: bool = False,
    loop: Loop = OURS,
    images: Images | None = None,
    task: Training = ROWS,
    progress: Callable[[str], None] | None = None,
    probes: bool = True,
    rehearses: bool = True,
) -> Estimate:
    """Memory and time of one pinned recipe: replayed where its tape is known, else rehearsed. Raises `BadInput`.

    `probes`: where it may not fit, the least that survives is looked for. Without `rehearses`, `NotKnown` is raised
    where no tape knows the recipe.
    """
    started = time.perf_counter()
    say = progress or (lambda _: None)
    found = find_model(model, trust_remote_code)
    method, agreed = beside_packed(method, found)
    machine, notes = machine_or_reference(gpu)
    refuse_unproven(task, method, knobs, found)
    if isinstance(task, DPO):
        on_one(machine, knobs, "how several GPUs and engines share a reference is not modelled: preferences have one")
    knobs, changed = suited(knobs, found)
    if knobs.packing:
        packing.refuse_mixed(found)
    supposed = (*supposed_of(task), *packing.supposed_of(knobs))
    engine = engine_for(knobs, machine, found)
    alone, loop = of_one_rank(engine, knobs, loop)
    recipe = Recipe(found, method, alone, machine, loop, trust_remote_code, images, task)
    told = find(recipe, say, rehearses)
    rank, half = spread(told.recording, engine, knobs, alone, machine), at_half(recipe, told)
    shorter = None if half is None else spread_alike(rank, told.recording, half)
    ledger = ledger_from(rank.recording, found, knobs, machine, shorter, engine=engine, task=task, probes=probes)
    return Estimate(
        model=found,
        method=method,
        knobs=knobs,
        machine=machine,
        ledger=ledger,
        engine=engine,
        host=host_of(method, knobs, machine, engine, ledger, rank.host, task),
        pace=pace(told.recording, recipe, knobs, engine),
        images=images,
        task=task,
        source=told.source,
        stack=told.stack,
        notes=(*notes, *agreed, *changed, *left_out(found, images, knobs), *supposed, *told.notes),
        seconds=time.perf_counter() - started,
    )


def pace(recording: Recording, recipe: Recipe, knobs: Knobs, engine: Engine | None) -> Pace | None:
    """Of a rank that was recorded alone; None where it is a processor, or a card of which no rates are known."""
    if recipe.machine.gpu is None or rates_on(recipe.machine.gpu) is None:
        return None
    setup = setup_of(recipe, knobs.optim)
    return pace_of(work_of(recording, setup, recipe.model.layers), setup, engine)


def estimate_rows(
    job: Job, *, knobs: Knobs, gpu: str = "auto", progress: Callable[[str], None] | None = None
) -> Estimate:
    """The memory of one pinned recipe on the rows of the job's own file, as a run of it would meet them. Raises
    `BadInput`."""
    machine, notes = machine_or_reference(gpu)
    on_one(machine, knobs, "a file's rows are replayed on one GPU; `--max-length` in its place answers for several")
    model, has_tokenizer = with_tokenizer(find_model(job.model, job.trust_remote_code))
    files = checked_files(job, cannot_show(model))
    method, agreed = beside_packed(method_of(job), model)
    knobs, changed = suited(knobs, model)
    if knobs.packing:
        packing.refuse_mixed(model)
    recipe = Recipe(model, method, knobs, machine, OURS, job.trust_remote_code)
    say = progress or (lambda _: None)
    say("rehearsing the training step")
    estimate, _ = on_rows(job, files, recipe, say, has_tokenizer=has_tokenizer)
    return replace(estimate, notes=(*notes, *agreed, *changed, *estimate.notes))


def on_rows(
    job: Job, files: Files, recipe: Recipe, say: Callable[[str], None], *, has_tokenizer: bool = True
) -> tuple[Estimate, OwnRows]:
    """A recipe, rehearsed with the rows of a job's file. Raises `BadInput`."""
    started, model, machine = time.perf_counter(), recipe.model, recipe.machine
    engine = engine_for(recipe.knobs, machine, model)
    alone, loop = of_one_rank(engine, recipe.knobs, recipe.loop)
    own = rehearse_rows(job, files, replace(recipe, knobs=alone, loop=loop), say, has_tokenizer=has_tokenizer)
    recorded = own.recorded(recipe.knobs)
    rank = spread(own.recording, engine, recorded, alone, machine)
    if engine is None:
        shorter, rows = _half_of_tape(replace(recipe, knobs=recorded), own), own.rows
    else:
        shorter, rows = None, None
    ledger = ledger_from(rank.recording, model, recorded, machine, shorter, rows, engine)
    knobs = own.met(recipe.knobs, job)
    estimate = Estimate(
        model=model,
        method=recipe.method,
        knobs=knobs,
        machine=machine,
        ledger=ledger,
        engine=engine,
        held={} if engine is None else held_by(rank),
        host=host_of(recipe.method, knobs, machine, engine, ledger, rank.host),
        data=own.data,
        source="rehearsal",
        stack=own.stack,
        notes=(*left_out(model, own.data.shown, knobs), *own.notes),
        seconds=time.perf_counter() - started,
    )
    return estimate, own


def _half_of_tape(recipe: Recipe, own: OwnRows) -> Recording | None:
    """Rows of half the length, from a tape that is at hand, where the run's own could not be replayed: what a plan
    knows of the same recipe."""
    if recipe.machine.is_cpu or own.rows is None or own.rows.is_known:
        return None
    micro_batches = min(recipe.knobs.gradient_accumulation_steps, REHEARSED_ACCUMULATION)
    recorded = replace(recipe, knobs=replace(recipe.knobs, gradient_accumulation_steps=micro_batches))
    found = known(recorded)
    return None if found is None else at_half(recorded, found)


def estimate_answer(
    model: str,
    *,
    method: Method,
    task: Generate,
    knobs: Knobs,
    gpu: str = "auto",
    trust_remote_code: bool = False,
    progress: Callable[[str], None] | None = None,
    rehearses: bool = True,
) -> Estimate:
    """The memory of prompts that are read and answered, with the method's adapters or without. Raises `BadInput`, and
    `NotKnown` as `estimate` does."""
    started = time.perf_counter()
    found = find_model(model, trust_remote_code)
    machine, notes = machine_or_reference(gpu)
    method, task, agreed = parts_to_write(method, task, found)
    knobs, changed = suited(knobs, found)
    writing = Writing(found, method, knobs, machine, task, trust_remote_code)
    told = find_answer(writing, progress or (lambda _: None), rehearses)
    return Estimate(
        model=found,
        method=method,
        knobs=knobs,
        machine=machine,
        ledger=ledger_of_answer(told.recording, found, knobs, machine, task),
        task=task,
        source=told.source,
        stack=told.stack,
        notes=(*notes, *agreed, *changed, *left_out(found, None, knobs), ALIKE, *told.notes),
        seconds=time.perf_counter() - started,
    )
