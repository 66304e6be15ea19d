"""All recipes of a job on a machine, each with its allocated peak and its time: from a few layers of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from finefit.estimate.pace.lines import work_lines
from finefit.estimate.pace.pace import pace_of, work_of
from finefit.estimate.pace.setup import Setup
from finefit.estimate.rehearsed import spread
from finefit.nouns.engine import Engine
from finefit.nouns.job import Job
from finefit.nouns.knobs import Checkpointing, Knobs
from finefit.nouns.machine import Machine
from finefit.nouns.method import Method
from finefit.nouns.model import Model
from finefit.nouns.planned import Candidate
from finefit.nouns.recording import Recording
from finefit.nouns.workload import Lengths
from finefit.tape.affine import Few, lines_of
from finefit.tape.peaks import CUDA_BLOCK_BYTES, phase_peaks

from .choice import choose, suited
from .dials import micro_batches
from .engine import engine_for
from .workload import padded

LEAST_SHOWN = 4
"""Layers of a part, that a tape of some checkpointed layers has at least."""
PARTS = 4
"""Where layers are of several kinds, so many numbers of checkpointed layers are tried, and none."""


class Rehearsals(Protocol):
    """Where recordings of one rank alone come from; None where they are not known."""

    def few(self, method: Method, knobs: Knobs, engine: Engine | None) -> tuple[Few, Setup] | None: ...

    def whole(self, method: Method, knobs: Knobs, engine: Engine | None) -> tuple[Recording, Setup] | None: ...


@dataclass(frozen=True)
class Asked:
    job: Job
    method: Method
    model: Model
    machine: Machine
    lengths: Lengths | None = None
    # of the job's own rows

    def waste(self, micro_batch: int) -> float:
        if self.lengths is None:
            return 1.0
        tokens = self.lengths.tokens
        return padded(tokens, micro_batch, self.job.seed) / sum(tokens)

    def knobs(self, micro_batch: int, checkpointing: Checkpointing) -> tuple[Knobs, Engine | None]:
        """What nothing pins is as `choose` has it."""
        pinned = replace(
            self.job,
            per_device_train_batch_size=micro_batch,
            gradient_accumulation_steps=None,
            gradient_checkpointing="none" if checkpointing == 0 else checkpointing,
        )
        knobs, _ = suited(choose(pinned, self.machine), self.model)
        return knobs, engine_for(knobs, self.machine, self.model)


def candidates(asked: Asked, rehearsals: Rehearsals, limit_bytes: int) -> Iterator[Candidate]:
    """Until a micro-batch has none within the limit: a larger one has none either."""
    for micro_batch in micro_batches(asked.job, asked.machine.count):
        waste = asked.waste(micro_batch)
        for shape in _shapes(asked):
            found = [replace(one, waste=waste) for one in _of_shape(asked, micro_batch, shape, rehearsals)]
            yield from found
            if shape == "all" and found and found[0].peak_bytes > limit_bytes:
                return


def _of_shape(asked: Asked, micro_batch: int, shape: Checkpointing, rehearsals: Rehearsals) -> Iterator[Candidate]:
    knobs, engine = asked.knobs(micro_batch, shape)
    found = rehearsals.few(asked.method, knobs, engine)
    if found is None:
        return _of_whole(asked, micro_batch, shape, rehearsals)
    return _of_few(asked, knobs, engine, *found)


def _shapes(asked: Asked) -> tuple[Checkpointing, ...]:
    """All layers, none, or some: what a tape knows together."""
    match asked.job.gradient_checkpointing:
        case "auto":
            some = asked.model.layers // 2
            return ("all", 0, some) if some >= LEAST_SHOWN else ("all", 0)
        case "none":
            return (0,)
        case pinned:
            return (pinned,)


def _of_few(asked: Asked, knobs: Knobs, engine: Engine | None, few: Few, setup: Setup) -> Iterator[Candidate]:
    lines = lines_of(_on_a_rank(few, setup, knobs, engine, asked.machine))
    if lines is None:
        return
    works, layers = work_lines(few, setup), asked.model.layers
    for count in _counts(asked, few):
        parts = {letter: count if letter.isupper() else layers - count for letter in lines.counts}
        here = knobs if len(few.letters) == 1 else replace(knobs, gradient_checkpointing=count)
        yield Candidate(asked.method, here, engine, lines.peak(parts), pace_of(works.work(parts), setup, engine))


def _counts(asked: Asked, few: Few) -> list[int]:
    """How many layers are checkpointed."""
    pinned, layers = asked.job.gradient_checkpointing, asked.model.layers
    if len(few.letters) == 1:
        return [layers if few.layers.isupper() else 0]
    return [pinned] if isinstance(pinned, int) else list(range(LEAST_SHOWN, layers - LEAST_SHOWN + 1))


def _of_whole(asked: Asked, micro_batch: int, shape: Checkpointing, rehearsals: Rehearsals) -> Iterator[Candidate]:
    """Every layer, one number of checkpointed ones after another."""
    is_free = asked.job.gradient_checkpointing == "auto" and shape not in ("all", 0)
    layers = asked.model.layers
    for count in [layers * part // PARTS for part in range(1, PARTS)] if is_free else [shape]:
        knobs, engine = asked.knobs(micro_batch, count)
        found = rehearsals.whole(asked.method, knobs, engine)
        if found is None:
            continue
        recording, setup = found
        on_rank = spread(recording, engine, knobs, setup.knobs, asked.machine).recording
        pace = pace_of(work_of(recording, setup, layers), setup, engine)
        yield Candidate(asked.method, knobs, engine, phase_peaks(on_rank, CUDA_BLOCK_BYTES)["peak"], pace)


def _on_a_rank(few: Few, setup: Setup, knobs: Knobs, engine: Engine | None, machine: Machine) -> Few:
    def composed(recording: Recording) -> Recording:
        return spread(recording, engine, knobs, setup.knobs, machine).recording

    more: Mapping[str, Recording] = {letter: composed(one) for letter, one in few.more.items()}
    return Few(few.layers, composed(few.base), more)
