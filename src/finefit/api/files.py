"""`plan_files`, `write_files`, `launch`: what a plan's files say, the folder that they are in, and what starts them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

from finefit.errors import BadInput, Problem, nearest
from finefit.lower.accelerate import SCRIPT
from finefit.lower.job_file import pinned
from finefit.lower.launch import NAMES, TARGETS, Target, launch_file
from finefit.lower.plan_files import files_of
from finefit.nouns.estimate import Estimate
from finefit.nouns.files import Files
from finefit.nouns.formats import Format
from finefit.nouns.job import Job
from finefit.nouns.machine import Machine
from finefit.nouns.model import Model
from finefit.run import written
from finefit.search.choice import choose
from finefit.search.engine import engine_for
from finefit.world.gpus import machine_named
from finefit.world.jobs import read_job
from finefit.world.models import find_model
from finefit.world.rows import format_of

from .fetching import rows_here


def plan_files(job: Job, choice: Estimate) -> Files:
    """`choice`: of a plan of this job."""
    model = os.path.abspath(Path(job.model).expanduser()) if _is_here(job.model) else job.model
    here = rows_here(job, lambda _: None)
    told = replace(pinned(here.pinned, choice), model=model, gpu=_gpu(job, choice))
    rows = (here.job.data, here.job.eval_data)
    return files_of(told, choice, _weights(choice.model), _format(here.job), rows)


def _format(job: Job) -> Format | None:
    """Of rows that the standalone script, which checks nothing, reads as a run does."""
    return format_of(job.data) if job.data and job.on_bad_row == "stop" else None


def write_files(folder: Path | str, files: Files) -> dict[str, Path]:
    """By name, where each lies. Raises `BadInput` where one would replace what finefit did not write."""
    return written.write_files(Path(folder), files.texts)


def _is_here(model: str) -> bool:
    """As `find_model` asks it."""
    return bool(model) and Path(model).expanduser().exists()


def _gpu(job: Job, choice: Estimate) -> str:
    """The card of this machine is what `auto` stays: its memory was read, and may differ from the catalogue's."""
    is_here = job.gpu == "auto" and machine_named("auto") == choice.machine
    return "auto" if is_here else choice.machine.name


def _weights(model: Model) -> str:
    """A folder, or a hub id; beside a config.json may be weights."""
    path = Path(model.id).expanduser()
    return model.folder or (str(path.resolve().parent) if path.is_file() else model.id)


def launch(job_file: Path | str, to: str, nodes: int = 1) -> tuple[Path, str]:
    """Writes what starts a plan's script beside its job, on `nodes` nodes; returns it and the line that hands it over.
    Raises `BadInput`."""
    job_file = Path(job_file)
    job = read_job(job_file, required=("model",)).job
    machine = machine_named(job.gpu)
    problems = list(_no_launch(job_file, to, nodes, machine))
    if problems:
        raise BadInput(*problems)
    target = cast(Target, to)
    assert machine.gpu is not None
    engine = engine_for(choose(job, machine), machine, find_model(job.model, job.trust_remote_code))
    name, line = NAMES[target]
    text = launch_file(target, machine.gpu, engine, machine.count // nodes, nodes)
    return written.write_files(job_file.parent, {name: text})[name], line


def _no_launch(job_file: Path, to: str, nodes: int, machine: Machine) -> Iterator[Problem]:
    if to not in TARGETS:
        hint = nearest(to, TARGETS) or "one of " + ", ".join(TARGETS)
        yield Problem(f"'{to}' starts nothing", where="--to", hint=hint)
    if machine.gpu is None:
        yield Problem("there is no GPU to start on", where=f"{job_file}: gpu", hint="gpu: 8xH100-80GB")
    elif nodes < 1 or machine.count % nodes:
        yield Problem(f"{machine.count} GPUs are not divided by {nodes} nodes", where="--nodes")
    if not (job_file.parent / SCRIPT).is_file():
        why = "what is started is the script of a plan"
        yield Problem(f"there is no {SCRIPT} beside it", str(job_file), why, f"finefit plan {job_file} -o DIR")
