"""`plan_files` and `write_files`: what a plan's files say, and the folder that they are in."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from finefit.lower.job_file import pinned
from finefit.lower.plan_files import files_of
from finefit.nouns.estimate import Estimate
from finefit.nouns.files import Files
from finefit.nouns.job import Job
from finefit.nouns.model import Model
from finefit.run import written
from finefit.world.gpus import machine_named


def plan_files(job: Job, choice: Estimate) -> Files:
    """`choice`: of a plan of this job."""
    model = os.path.abspath(Path(job.model).expanduser()) if _is_here(job.model) else job.model
    return files_of(replace(pinned(job, choice), model=model, gpu=_gpu(job, choice)), choice, _weights(choice.model))


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
