"""Rows that show images, on ranks that go through the tower together."""

from __future__ import annotations

from collections.abc import Iterator

from finefit.errors import BadInput, Problem
from finefit.nouns.job import Job
from finefit.nouns.knobs import Knobs
from finefit.nouns.machine import Machine
from finefit.rehearsal.files import Files
from finefit.tables import place
from finefit.world.rows import SHOWN


def refuse_apart(job: Job, files: Files, machine: Machine, knobs: Knobs) -> None:
    """Rows that show images, where ranks could not go through the tower together. Raises `BadInput`."""
    if not files.show:
        return
    problems = []
    if knobs.fsdp:
        why = "the blocks of a vision tower, which FSDP2 divides one by one, are not modelled"
        problems.append(Problem("it does not go with rows that show images", "fsdp", why, "zero_stage: 3"))
    if machine.count > 1:
        why = f"{machine.name} is {machine.count} {machine.parts}, which go through the vision tower together"
        hint = "rows that all show images, or one GPU"
        problems += [Problem("the row shows no image", where, why, hint) for where in _blind(job, files)]
    if problems:
        raise BadInput(*problems[:SHOWN])


def _blind(job: Job, files: Files) -> Iterator[str]:
    """Where rows are that show nothing."""
    for path, rows in ((job.data, files.train), (job.eval_data, files.held_out)):
        for line, shown in zip(rows.lines, rows.sizes, strict=True) if rows else ():
            if not shown:
                yield place(str(path), line)
