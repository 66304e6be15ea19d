"""`plan_job`: what a job decides and takes, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from finefit.lower.images import cannot_show
from finefit.lower.profiling import profiled
from finefit.lower.ranks import of_ranks
from finefit.lower.tracking import tracked
from finefit.nouns.job import Job
from finefit.nouns.observer import Observer
from finefit.nouns.plan import Plan
from finefit.nouns.planned import NoFit
from finefit.nouns.steps import optimizer_steps
from finefit.nouns.workload import Lengths
from finefit.rehearsal.files import checked_files
from finefit.rehearsal.recipe import OURS, Recipe
from finefit.search.choice import choose, suited
from finefit.search.engine import engine_for, of_one_rank
from finefit.search.packed import beside_packed
from finefit.search.preferences import before_training, refuse_unproven, task_of
from finefit.search.workload import workload
from finefit.world import trackers
from finefit.world.engines_here import has_compiler, refuse_lacking
from finefit.world.gpus import machine_named
from finefit.world.jobs import ReadJob, read_job
from finefit.world.models import find_model
from finefit.world.pictures import refuse_blind

from .apart import refuse_apart
from .asked import method_of
from .deciding import Decided, Wish, decide
from .estimating import pace
from .fetching import RowsHere, rows_here
from .own_rows import OF_ONE_RANK


def plan_job(job_path: str, overrides: Mapping[str, str], observer: Observer) -> Plan | NoFit:
    """Raises `BadInput` with all problems."""
    return plan_of(read_job(job_path, overrides), observer)


def plan_of(read: ReadJob, observer: Observer) -> Plan | NoFit:
    """Of a job that is read."""
    trackers.refuse_lacking(read.job.report_to)
    wish, here, said = _wished(read.job, observer)
    found = decide(wish)
    if isinstance(found, NoFit):
        return found
    plan = _planned(wish, found, (*read.notes, *here.notes, *said))
    return replace(plan, job=here.pinned, fetched=here.fetched)


def _wished(job: Job, observer: Observer) -> tuple[Wish, RowsHere, tuple[str, ...]]:
    """With what is usual where the job is silent; its rows, and what was changed for the model."""
    machine = machine_named(job.gpu)
    model = find_model(job.model, job.trust_remote_code, for_training=True, from_scratch=job.from_scratch)
    knobs = choose(job, machine)
    here = rows_here(job, observer.stage)
    files = checked_files(here.job, cannot_show(model))
    refuse_apart(here.job, files, machine, knobs)
    if files.show:
        refuse_blind(Path(str(model.folder)))
    method, agreed = beside_packed(method_of(job), model)
    knobs, changed = suited(knobs, model)
    refuse_lacking(engine_for(knobs, machine, model))
    refuse_unproven(task_of(job), method, knobs, model)
    recipe = Recipe(model, method, knobs, machine, OURS, job.trust_remote_code, task=task_of(job))
    return Wish(here.job, files, recipe, observer), here, (*agreed, *changed)


def _planned(wish: Wish, found: Decided, notes: tuple[str, ...]) -> Plan:
    job, recipe, own, estimate = wish.job, wish.recipe, found.tried.own, found.tried.estimate
    knobs, engine, ranks = estimate.knobs, estimate.engine, recipe.machine.count
    refuse_lacking(engine)  # which may be the plan's own choice
    recorded = own.recorded(knobs)
    alone, loop = of_one_rank(engine, recorded, recipe.loop)
    takes = pace(own.recording, replace(recipe, knobs=alone, loop=loop), recorded, engine)
    orders = of_ranks(own.orders, engine, knobs, has_compiler=has_compiler())
    steps = optimizer_steps(orders["trainer"], own.data.sequences, ranks)
    orders = profiled(orders, job.profile_steps, steps)
    lengths = Lengths(own.lengths, own.data.longest_line, is_guessed=False)
    of_rank = () if engine is None else (OF_ONE_RANK,)
    return Plan(
        job=job,
        model=recipe.model,
        method=recipe.method,
        knobs=knobs,
        machine=recipe.machine,
        ledger=estimate.ledger,
        data=own.data,
        steps=steps,
        stack=own.stack,
        notes=(*notes, *found.notes, *own.notes, *before_training(task_of(job)), *of_rank),
        orders=tracked(orders, job.report_to, estimate.ledger.peak_bytes),
        pace=takes,
        work=None if takes is None else workload(job, knobs, takes, ranks, lengths, None),
        chosen=found.chosen,
        engine=engine,
        held=estimate.held,
    )
