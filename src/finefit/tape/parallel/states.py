"""What engines put in the place of weights, gradients and the optimizer's state: the kinds of their storages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from finefit.catalog.optimizers import Optimizer, state_bytes
from finefit.nouns.recording import Recording
from finefit.tape.peaks import Kind, segments
from finefit.tape.rewrite import LEAVING, Place, Rewrite

if TYPE_CHECKING:
    from .parameters import Step

FLOAT, DOUBLE = 4, 8
WEIGHTS: Kind = ("weight", "load", "", "flat")
COPY: Kind = ("reference", "load", "", "flat")
MASTER: Kind = ("master", "load", "", "float32")
MOMENTS: Kind = ("optimizer", "optimizer", "", "states")
GRADIENTS: Kind = ("gradient", "backward", "", "flat")
BUCKET: Kind = ("bucket", "backward", "", "reduce")
GATHERED: Kind = ("gathered", "forward", "", "all_gather")
STEP: Kind = ("activation", "optimizer", "", "step")


@dataclass(frozen=True)
class Rank:
    """One rank's step, and what it keeps in the host's pinned memory."""

    recording: Recording
    host: Mapping[str, int]
    # what: bytes
    was: tuple[int, ...]
    # of each storage, its number in the recording of one rank alone; 0: the engine's own

    @classmethod
    def alone(cls, recording: Recording) -> Rank:
        return cls(recording, {}, tuple(range(1, len(recording.nbytes) + 1)))

    @classmethod
    def told(cls, rewrite: Rewrite, host: Mapping[str, int]) -> Rank:
        return cls(rewrite.told(), dict(host), rewrite.was())

    def nbytes_of(self, alone: Recording) -> tuple[int, ...]:
        """Of each storage where the step alone is another one of the same births and deaths, which is composed alike:
        nothing that an engine makes depends on rows."""
        own = self.recording.nbytes
        return tuple(alone.nbytes[old - 1] if old else new for old, new in zip(self.was, own, strict=True))


def without_optimizer(recording: Recording) -> Rewrite:
    """All that the recorded optimizer made is gone: an engine steps by itself."""
    rewrite = Rewrite(recording)
    for segment in segments(recording):
        if segment.phase == "optimizer":
            rewrite.drop(event for event in recording.events[segment.start : segment.stop] if event > 0)
    return rewrite


def end_of_load(recording: Recording) -> Place:
    return next(segment.stop for segment in segments(recording) if segment.phase == "load"), LEAVING


def loss_stays(rewrite: Rewrite, step: Step) -> None:
    """DeepSpeed steps inside of what accelerate calls backward: the loss, and its graph, are dropped only after it.

    accelerate 1.15  utils/deepspeed.py: DeepSpeedEngineWrapper.backward calls the engine's step
    """
    for number in step.graph:
        rewrite.dies(number, (step.stop, LEAVING))


def moments_born(rewrite: Rewrite, place: Place, optimizer: Optimizer, elements: Iterable[int]) -> None:
    """Of flat parameters; for good."""
    if not optimizer.is_paged:
        for nbytes in (size for each in elements for size in state_bytes(optimizer, each)):
            rewrite.born(place, nbytes, MOMENTS)
