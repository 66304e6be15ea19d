"""`train`, `read_receipt`: what runs, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from finefit.estimate.rehearsed import ledger_from
from finefit.nouns.observer import Observer
from finefit.nouns.plan import Plan
from finefit.nouns.receipt import Receipt
from finefit.nouns.steps import optimizer_steps
from finefit.rehearsal.own_rows import checked_files, rehearse_rows
from finefit.rehearsal.recipe import OURS, Recipe
from finefit.run import folder, receipt, worker
from finefit.search.choice import choose, suited
from finefit.search.packed import beside_packed
from finefit.world.gpus import machine_named
from finefit.world.jobs import read_job
from finefit.world.models import find_model

from .asked import method_of, on_one


def train(job_or_run: str, overrides: Mapping[str, str], resume: bool, observer: Observer) -> Receipt:
    """Plans, trains exactly that, and closes with a receipt. Raises `BadInput`, `RunFailed`, `Interrupted`."""
    if resume:
        run = folder.to_resume(_run_of(Path(job_or_run)))
        plan = folder.read_plan(run)
    else:
        plan = plan_job(job_or_run, overrides, observer)
        run = folder.create(plan, Path(job_or_run).stem)
    observer.planned(plan)
    observer.note(f"run folder: {run.path}")
    observer.stage("training")
    worker.train(run, observer.event)
    return receipt.write(run)


def plan_job(job_path: str, overrides: Mapping[str, str], observer: Observer) -> Plan:
    """Everything that a job decides and takes, before anything runs. Raises `BadInput` with all problems."""
    job, notes = read_job(job_path, overrides)
    machine = machine_named(job.gpu)
    model = find_model(job.model, job.trust_remote_code, for_training=True)
    on_one(machine, choose(job, machine), "this version trains on one GPU; `finefit estimate` answers for several")
    files = checked_files(job)
    method, agreed = beside_packed(method_of(job), model)
    knobs, changed = suited(choose(job, machine), model)
    observer.stage("rehearsing the training step" + ("" if machine.is_cpu else ", and two of shorter rows"))
    recipe = Recipe(model, method, knobs, machine, OURS, job.trust_remote_code)
    own = rehearse_rows(job, files, recipe, observer.note)
    knobs = replace(knobs, max_length=own.data.longest_tokens)
    return Plan(
        job=job,
        model=model,
        method=method,
        knobs=knobs,
        machine=machine,
        ledger=ledger_from(own.recording, model, knobs, machine, rows=own.rows),
        data=own.data,
        steps=optimizer_steps(own.orders["trainer"], own.data.rows),
        stack=own.stack,
        notes=(*notes, *agreed, *changed, *own.notes),
        orders=own.orders,
    )


def _run_of(path: Path) -> folder.RunFolder:
    """A run folder itself, or the newest run of a job file."""
    if path.is_dir():
        return folder.open_run(path)
    job = read_job(path).job
    return folder.open_run(Path(job.output_dir)) if job.output_dir else folder.newest_of(path.stem)


def read_receipt(run: str) -> Receipt:
    return receipt.read(Path(run))
