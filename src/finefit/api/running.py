"""`train`, `read_receipt`: what runs, and what it leaves behind."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from finefit.errors import BadInput, Problem
from finefit.nouns.machine import Machine
from finefit.nouns.nodes import Nodes, nodes_of
from finefit.nouns.observer import Observer
from finefit.nouns.plan import Plan
from finefit.nouns.planned import NoFit
from finefit.nouns.receipt import Receipt
from finefit.run import folder, receipt, worker
from finefit.world import calibrations
from finefit.world.gpus import machine_named, refuse_absent, refuse_elsewhere
from finefit.world.jobs import read_job

from .fetching import restored
from .job_plan import plan_of

LEARNT_STEPS = 10
"""Of a run, at least, for its time to say anything of the next one's."""


def train(
    job_or_run: str, overrides: Mapping[str, str], resume: bool, observer: Observer, *, is_foreign: bool = False
) -> Receipt | NoFit | Path:
    """Plans, trains exactly that, and closes with a receipt. What does not fit is not begun. `job_or_run` is empty
    where `overrides` are all of a job. `is_foreign`: the job is a file of another tool. On a further machine of a run
    (`nouns.nodes`) it does its share of what the first one plans, and returns the run's folder. Raises `BadInput`,
    `RunFailed`, `Interrupted`."""
    nodes = nodes_of(os.environ)
    if not nodes.is_first:
        observer.stage(f"waiting for the first machine at {nodes.address}:{nodes.port}")
        return worker.join(observer.event)
    if resume:
        run = _run_of(Path(job_or_run))
        plan = folder.read_plan(run)
        refuse_absent(part(plan.machine, nodes))
        folder.to_resume(run)
        restored(plan.fetched, observer.stage)
    else:
        read = read_job(job_or_run or None, overrides, is_foreign=is_foreign)
        if nodes.count > 1 and read.job.gpu == "auto":
            why = "this machine sees its own alone"
            raise BadInput(Problem("how many GPUs all machines have is not said", "gpu", why, "gpu: 16xH100-80GB"))
        refuse_elsewhere(part(machine_named(read.job.gpu), nodes))
        found = plan_of(read, observer)
        if isinstance(found, NoFit):
            return found
        plan = replace(found, notes=(*found.notes, *_of_links(nodes)))
        run = folder.create(plan, Path(job_or_run).stem or Path(read.job.model).name)
    observer.planned(plan)
    observer.note(f"run folder: {run.path}")
    observer.stage("training")
    worker.train(run, observer.event)
    written = receipt.write(run)
    learn(plan, written)
    return written


def part(machine: Machine, nodes: Nodes) -> Machine:
    """What of a run's machine is here. Raises `BadInput`."""
    return replace(machine, count=len(nodes.share(machine.count)))


def _of_links(nodes: Nodes) -> tuple[str, ...]:
    if nodes.count == 1:
        return ()
    return (f"{nodes.count} machines: the time is of links within one, and those between them are slower",)


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


def _run_of(path: Path) -> folder.RunFolder:
    """A run folder itself, or the newest run of a job file."""
    if path.is_dir():
        return folder.open_run(path)
    job = read_job(path).job
    return folder.open_run(Path(job.output_dir)) if job.output_dir else folder.newest_of(path.stem)


def read_receipt(run: str) -> Receipt:
    return receipt.read(Path(run))
