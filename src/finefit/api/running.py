"""`train`, `read_receipt`: what runs, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from finefit.nouns.receipt import Receipt
from finefit.nouns.steps import optimizer_steps
from finefit.nouns.workload import Lengths
from finefit.rehearsal.files import checked_files
from finefit.rehearsal.recipe import OURS, Recipe
from finefit.run import folder, receipt, worker
from finefit.search.choice import choose, suited
from finefit.search.engine import engine_for, of_one_rank
from finefit.search.packed import beside_packed
from finefit.search.preferences import before_training, refuse_unproven, task_of
from finefit.search.workload import workload
from finefit.world import calibrations, trackers
from finefit.world.engines_here import has_compiler, refuse_lacking
from finefit.world.gpus import machine_named, refuse_absent, refuse_elsewhere
from finefit.world.jobs import read_job
from finefit.world.models import find_model
from finefit.world.pictures import refuse_blind

from .asked import ONE_REFERENCE, method_of, on_one
from .deciding import Wish, decide
from .estimating import OF_ONE_RANK, pace
from .fetching import restored, rows_here

LEARNT_STEPS = 10
"""Of a run, at least, for its time to say anything of the next one's."""


def train(
    job_or_run: str, overrides: Mapping[str, str], resume: bool, observer: Observer, *, is_foreign: bool = False
) -> Receipt | NoFit:
    """Plans, trains exactly that, and closes with a receipt. What does not fit is not begun. `is_foreign`: the job is a
    file of another tool. Raises `BadInput`, `RunFailed`, `Interrupted`."""
    if resume:
        run = _run_of(Path(job_or_run))
        plan = folder.read_plan(run)
        refuse_absent(plan.machine)
        folder.to_resume(run)
        restored(plan.fetched, observer.stage)
    else:
        job, notes = read_job(job_or_run, overrides, is_foreign=is_foreign)
        refuse_elsewhere(machine_named(job.gpu))
        found = _plan_of(job, notes, observer)
        if isinstance(found, NoFit):
            return found
        plan, run = found, folder.create(found, Path(job_or_run).stem)
    observer.planned(plan)
    observer.note(f"run folder: {run.path}")
    observer.stage("training")
    worker.train(run, observer.event)
    written = receipt.write(run)
    learn(plan, written)
    return written


def learn(plan: Plan, written: Receipt) -> None:
    """What a run took corrects what is predicted for the next ones on its GPU; not where ranks wait for each other."""
    gpu, pace, step = plan.machine.gpu, plan.pace, written.step
    if (
        plan.engine is None
        and gpu is not None
        and pace is not None
        and step is not None
        and step.steady_steps >= LEARNT_STEPS
    ):
        calibrations.learn(gpu.name, pace, pace.step_seconds * step.measured / step.predicted)


def plan_job(job_path: str, overrides: Mapping[str, str], observer: Observer) -> Plan | NoFit:
    """Everything that a job decides and takes, before anything runs. Raises `BadInput` with all problems."""
    job, notes = read_job(job_path, overrides)
    return _plan_of(job, notes, observer)


def _plan_of(job: Job, notes: Sequence[str], observer: Observer) -> Plan | NoFit:
    trackers.refuse_lacking(job.report_to)
    machine = machine_named(job.gpu)
    model = find_model(job.model, job.trust_remote_code, for_training=True, from_scratch=job.from_scratch)
    if job.task == "dpo":
        on_one(machine, choose(job, machine), ONE_REFERENCE)
    here = rows_here(job, observer.stage)
    job = here.job
    files = checked_files(job, cannot_show(model))
    if files.show:
        on_one(machine, choose(job, machine), "rows that show images are trained on one GPU in this version")
        refuse_blind(Path(str(model.folder)))
    method, agreed = beside_packed(method_of(job), model)
    knobs, changed = suited(choose(job, machine), model)
    refuse_lacking(engine_for(knobs, machine, model))
    refuse_unproven(task_of(job), method, knobs, model)
    recipe = Recipe(model, method, knobs, machine, OURS, job.trust_remote_code, task=task_of(job))
    found = decide(Wish(job, files, recipe, observer))
    if isinstance(found, NoFit):
        return found
    estimate, own = found.tried.estimate, found.tried.own
    engine = estimate.engine
    refuse_lacking(engine)
    recorded = own.recorded(estimate.knobs)
    alone, loop = of_one_rank(engine, recorded, recipe.loop)
    takes = pace(own.recording, replace(recipe, knobs=alone, loop=loop), recorded, engine)
    orders = of_ranks(own.orders, engine, estimate.knobs, has_compiler=has_compiler())
    steps = optimizer_steps(orders["trainer"], own.data.sequences, machine.count)
    orders = profiled(orders, job.profile_steps, steps)
    of_rank = () if engine is None else (OF_ONE_RANK,)
    lengths = Lengths(own.lengths, own.data.longest_line, is_guessed=False)
    return Plan(
        job=here.pinned,
        model=model,
        method=method,
        knobs=estimate.knobs,
        machine=machine,
        ledger=estimate.ledger,
        data=own.data,
        steps=steps,
        stack=own.stack,
        notes=(
            *notes,
            *here.notes,
            *agreed,
            *changed,
            *found.notes,
            *own.notes,
            *before_training(task_of(job)),
            *of_rank,
        ),
        orders=tracked(orders, job.report_to, estimate.ledger.peak_bytes),
        pace=takes,
        work=None if takes is None else workload(job, estimate.knobs, takes, machine.count, lengths, None),
        chosen=found.chosen,
        engine=engine,
        held=estimate.held,
        fetched=here.fetched,
    )


def _run_of(path: Path) -> folder.RunFolder:
    """A run folder itself, or the newest run of a job file."""
    if path.is_dir():
        return folder.open_run(path)
    job = read_job(path).job
    return folder.open_run(Path(job.output_dir)) if job.output_dir else folder.newest_of(path.stem)


def read_receipt(run: str) -> Receipt:
    return receipt.read(Path(run))
