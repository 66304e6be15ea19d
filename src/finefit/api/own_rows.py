"""The memory of one pinned recipe on the rows of a job's own file."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from finefit.estimate.held import held_by
from finefit.estimate.host import host_of
from finefit.estimate.left_out import left_out
from finefit.estimate.rehearsed import ledger_from, spread
from finefit.lower.images import cannot_show
from finefit.lower.orders import REHEARSED_ACCUMULATION
from finefit.nouns.estimate import Estimate
from finefit.nouns.job import Job
from finefit.nouns.knobs import Knobs
from finefit.nouns.recording import Recording
from finefit.rehearsal.files import Files, checked_files
from finefit.rehearsal.find import at_half, known
from finefit.rehearsal.own_rows import OwnRows, rehearse_rows
from finefit.rehearsal.recipe import OURS, Recipe
from finefit.search.choice import suited
from finefit.search.engine import engine_for, of_one_rank
from finefit.search.packed import beside_packed
from finefit.search.preferences import refuse_unproven, task_of
from finefit.world.models import find_model, with_tokenizer

from .apart import refuse_apart
from .asked import machine_or_reference, method_of
from .fetching import rows_here

OF_ONE_RANK = (
    "predicted is the rank that takes most, with the micro-batch that has the longest row; in which order ranks meet "
    "shorter rows is not replayed"
)


def estimate_rows(
    job: Job, *, knobs: Knobs, gpu: str = "auto", progress: Callable[[str], None] | None = None
) -> Estimate:
    """The memory of one pinned recipe on the rows of the job's own file, as a run of it would meet them. Raises
    `BadInput`."""
    machine, notes = machine_or_reference(gpu)
    model, has_tokenizer = with_tokenizer(find_model(job.model, job.trust_remote_code))
    here = rows_here(job, progress or (lambda _: None))
    job = here.job
    files = checked_files(job, cannot_show(model))
    refuse_apart(job, files, machine, knobs)
    method, agreed = beside_packed(method_of(job), model)
    knobs, changed = suited(knobs, model)
    refuse_unproven(task_of(job), method, knobs, model)
    recipe = Recipe(model, method, knobs, machine, OURS, job.trust_remote_code, task=task_of(job))
    say = progress or (lambda _: None)
    say("rehearsing the training step")
    estimate, _ = on_rows(job, files, recipe, say, has_tokenizer=has_tokenizer)
    of_rank = () if estimate.engine is None else (OF_ONE_RANK,)
    return replace(estimate, notes=(*notes, *here.notes, *agreed, *changed, *estimate.notes, *of_rank))


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
    ledger = ledger_from(rank.recording, model, recorded, machine, shorter, rows, engine, recipe.task)
    knobs = own.met(recipe.knobs, job)
    estimate = Estimate(
        model=model,
        method=recipe.method,
        knobs=knobs,
        machine=machine,
        ledger=ledger,
        engine=engine,
        held={} if engine is None else held_by(rank),
        host=host_of(recipe.method, knobs, machine, engine, ledger, rank.host, recipe.task),
        data=own.data,
        task=recipe.task,
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
