"""`train`, `read_receipt`, `generate`: what runs, and what it leaves behind."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from finefit.estimate.rehearsed import ledger_from
from finefit.lower.orders import base_orders
from finefit.nouns.knobs import Dtype, Knobs
from finefit.nouns.observer import Observer
from finefit.nouns.plan import Plan
from finefit.nouns.receipt import Receipt
from finefit.nouns.steps import optimizer_steps
from finefit.rehearsal.own_rows import checked_files, rehearse_rows
from finefit.rehearsal.recipe import OURS, Recipe
from finefit.run import folder, receipt, worker
from finefit.search.choice import choose, suited
from finefit.search.packed import beside_packed, to_run
from finefit.search.packing import refuse_mixed
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
    if knobs.packing:
        refuse_mixed(model)
    observer.stage("rehearsing the training step" + ("" if machine.is_cpu else ", and two of shorter rows"))
    recipe = Recipe(model, method, knobs, machine, OURS, job.trust_remote_code)
    own = rehearse_rows(job, files, recipe, observer.note)
    knobs = own.met(knobs, job)
    return Plan(
        job=job,
        model=model,
        method=method,
        knobs=knobs,
        machine=machine,
        ledger=ledger_from(own.recording, model, own.recorded(knobs), machine, rows=own.rows),
        data=own.data,
        steps=optimizer_steps(own.orders["trainer"], own.data.sequences),
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


def generate(target: str, prompts: Sequence[str], max_new_tokens: int, base: bool) -> list[str]:
    """One answer a prompt, from a run's model with its adapter, or from a model folder; `base` leaves it out."""
    if Path(target, "plan.json").exists():
        run = folder.open_run(Path(target))
        orders = json.loads(run.orders.read_text())
        adapter = None if base else str(run.adapter)
    else:
        model = find_model(target, for_training=True)
        machine = machine_named("auto")
        dtype: Dtype = "float32" if machine.is_cpu else "bfloat16"
        orders = base_orders(model, to_run(model), Knobs(max_length=0, dtype=dtype), machine, False)
        adapter = None
    asked = {
        "conversations": [[{"role": "user", "content": prompt}] for prompt in prompts],
        "max_new_tokens": max_new_tokens,
        "adapter": adapter,
        "temperature": 0,
        "seed": 0,
    }
    texts: list[str] = worker.ask("generate", orders | asked)["texts"]
    return texts
