"""`train`, `read_receipt`: what runs, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

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
        read = read_job(job_or_run, overrides, is_foreign=is_foreign)
        refuse_elsewhere(machine_named(read.job.gpu))
        found = plan_of(read, observer)
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


def _run_of(path: Path) -> folder.RunFolder:
    """A run folder itself, or the newest run of a job file."""
    if path.is_dir():
        return folder.open_run(path)
    job = read_job(path).job
    return folder.open_run(Path(job.output_dir)) if job.output_dir else folder.newest_of(path.stem)


def read_receipt(run: str) -> Receipt:
    return receipt.read(Path(run))
