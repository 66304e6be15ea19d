"""All recipes of a job on a machine, each with its allocated peak and its time: from a few layers of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from finefit.estimate.pace.lines import work_lines
from finefit.estimate.pace.pace import pace_of
from finefit.estimate.pace.setup import Setup
from finefit.estimate.rehearsed import spread
from finefit.nouns.engine import Engine
from finefit.nouns.job import Job
from finefit.nouns.knobs import Checkpointing, Knobs
from finefit.nouns.machine import Machine
from finefit.nouns.method import Method
from finefit.nouns.model import Model
from finefit.nouns.planned import Candidate
from finefit.tape.affine import Few, Lines, lines_of

from .choice import choose, suited
from .dials import micro_batches
from .engine import engine_for

SHAPES: tuple[Checkpointing, ...] = ("all", 0, 12)
"""All layers, none, and some: a tape each."""
LEAST_SHOWN = 4
"""Layers of a part, that a tape of some has at least."""


class Rehearsals(Protocol):
    """Where recordings come from."""

    def few(self, method: Method, knobs: Knobs, engine: Engine | None) -> tuple[Few, Setup] | None:
        """Of one rank alone. None where they are not known, or do not stand for all layers."""


@dataclass(frozen=True)
class Asked:
    """One family of recipes at least: all knobs but how many layers are checkpointed."""

    job: Job
    method: Method
    model: Model
    machine: Machine


def candidates(asked: Asked, rehearsals: Rehearsals) -> Iterator[Candidate]:
    for micro_batch in micro_batches(asked.job, asked.machine.count):
        wished = replace(asked.job, per_device_train_batch_size=micro_batch, gradient_accumulation_steps=None)
        for shape in _shapes(wished):
            pinned = replace(wished, gradient_checkpointing="none" if shape == 0 else shape)
            knobs, _ = suited(choose(pinned, asked.machine), asked.model)
            engine = engine_for(knobs, asked.machine, asked.model)
            found = rehearsals.few(asked.method, knobs, engine)
            if found is not None:
                yield from _of_shape(asked, knobs, engine, *found)


def _shapes(job: Job) -> tuple[Checkpointing, ...]:
    match job.gradient_checkpointing:
        case "auto":
            return SHAPES
        case "none":
            return (0,)
        case pinned:
            return (pinned,)


def _of_shape(asked: Asked, knobs: Knobs, engine: Engine | None, few: Few, setup: Setup) -> Iterator[Candidate]:
    lines = lines_of(_on_a_rank(few, setup, knobs, engine, asked.machine))
    if lines is None:
        return
    works = work_lines(few, setup)
    layers = asked.model.layers
    for count in _counts(asked.job.gradient_checkpointing, few, layers):
        parts = _parts(lines, count, layers)
        here = knobs if len(few.letters) == 1 else replace(knobs, gradient_checkpointing=count)
        pace = pace_of(works.work(parts), setup, engine)
        yield Candidate(asked.method, here, engine, lines.peak(parts), pace)


def _counts(asked: Checkpointing | str, few: Few, layers: int) -> list[int]:
    """How many layers are checkpointed."""
    if len(few.letters) == 1:
        return [layers if few.layers.isupper() else 0]
    return [asked] if isinstance(asked, int) else list(range(LEAST_SHOWN, layers - LEAST_SHOWN + 1))


def _parts(lines: Lines, count: int, layers: int) -> Mapping[str, int]:
    return {letter: count if letter.isupper() else layers - count for letter in lines.counts}


def _on_a_rank(few: Few, setup: Setup, knobs: Knobs, engine: Engine | None, machine: Machine) -> Few:
    def composed(recording):  # type: ignore[no-untyped-def]
        return spread(recording, engine, knobs, setup.knobs, machine).recording

    return Few(few.layers, composed(few.base), {letter: composed(one) for letter, one in few.more.items()})
