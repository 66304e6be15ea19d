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
from finefit.nouns.pace import Pace
from finefit.nouns.planned import Candidate
from finefit.nouns.recording import Recording
from finefit.nouns.workload import Lengths
from finefit.tape.affine import Few, Lines, lines_of
from finefit.tape.peaks import CUDA_BLOCK_BYTES, phase_peaks

from .choice import choose, suited
from .dials import micro_batches
from .engine import engine_for
from .workload import epoch_seconds

LEAST_SHOWN = 4
"""Layers of a part, that a tape of some checkpointed layers has at least."""
MICRO_BATCH = ("forward", "backward", "reference")
"""Phases, as peaks are told; of marks there are two more."""
MARKED = (*MICRO_BATCH, "batch", "loss")
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

    def own_tokens_per_second(self, knobs: Knobs, pace: Pace) -> float | None:
        if self.lengths is None:
            return None
        seconds = epoch_seconds(knobs, pace, self.machine.count, self.lengths.tokens, self.job.seed)
        return self.lengths.total / seconds

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
        anchor = None
        for shape in _shapes(asked):
            knobs, engine = asked.knobs(micro_batch, shape)
            few = rehearsals.few(asked.method, knobs, engine)
            if few is not None and engine is not None and anchor is None:
                anchor = _anchor(asked, knobs, engine, *few, rehearsals)
            if few is not None and (engine is None or anchor is not None):
                of_shape = _of_few(asked, knobs, engine, *few, anchor)
            else:
                of_shape = _of_whole(asked, micro_batch, shape, rehearsals)
            found = [
                replace(one, own_tokens_per_second=asked.own_tokens_per_second(one.knobs, one.pace)) for one in of_shape
            ]
            yield from found
            if shape == "all" and found and found[0].least_bytes > limit_bytes:
                return


@dataclass(frozen=True)
class Anchor:
    """One recipe of a family under an engine, composed of every layer.

    What an engine makes of the whole model (flat parts, buckets, what it gathers) a few layers do not tell; how much
    more or less other recipes keep for backward, they do.
    """

    busy_bytes: int
    # at the fullest moment of a micro-batch
    rest_bytes: int
    # outside of one: the optimizer's step, the load
    alone_bytes: int
    # in a micro-batch, of a rank that has no engine

    def peak(self, alone_bytes: int) -> int:
        return max(self.rest_bytes, self.busy_bytes + alone_bytes - self.alone_bytes)


def _anchor(
    asked: Asked, knobs: Knobs, engine: Engine, few: Few, setup: Setup, rehearsals: Rehearsals
) -> Anchor | None:
    whole, lines = rehearsals.whole(asked.method, knobs, engine), lines_of(few)
    if whole is None or lines is None:
        return None
    peaks = phase_peaks(spread(whole[0], engine, knobs, setup.knobs, asked.machine).recording, CUDA_BLOCK_BYTES)
    checkpointed = knobs.gradient_checkpointing
    layers = asked.model.layers
    alone = lines.peaks(_parts(lines, layers if checkpointed == "all" else checkpointed, layers))
    return Anchor(
        busy_bytes=max(peaks[phase] for phase in MICRO_BATCH if phase in peaks),
        rest_bytes=max(peaks[phase] for phase in peaks if phase not in (*MICRO_BATCH, "peak")),
        alone_bytes=_busy(alone),
    )


def _busy(peaks: Mapping[str, int]) -> int:
    return max(nbytes for phase, nbytes in peaks.items() if phase in MARKED)


def _parts(lines: Lines, checkpointed: int, layers: int) -> dict[str, int]:
    return {letter: checkpointed if letter.isupper() else layers - checkpointed for letter in lines.counts}


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


def _of_few(
    asked: Asked, knobs: Knobs, engine: Engine | None, few: Few, setup: Setup, anchor: Anchor | None
) -> Iterator[Candidate]:
    lines = lines_of(few)
    if lines is None:
        return
    works, layers = work_lines(few, setup), asked.model.layers
    for count in _counts(asked, few):
        parts = _parts(lines, count, layers)
        here = knobs if len(few.letters) == 1 else replace(knobs, gradient_checkpointing=count)
        peaks = lines.peaks(parts)
        peak = max(peaks.values()) if anchor is None else anchor.peak(_busy(peaks))
        yield Candidate(asked.method, here, engine, peak, pace_of(works.work(parts), setup, engine))


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
