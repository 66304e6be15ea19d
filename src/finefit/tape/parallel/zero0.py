"""DeepSpeed without ZeRO: every rank holds everything, with a float32 copy of what is trained.

deepspeed 0.19  runtime/fp16/unfused_optimizer.py: FP16_UnfusedOptimizer.__init__ (a float32 copy of each trained
                parameter), initialize_optimizer_states (states exist before the first step), step (all gradients
                in float32 at once); runtime/engine.py: buffered_allreduce_fallback (a flat copy of 5e8 elements)
"""

from __future__ import annotations

from collections.abc import Sequence

from finefit.catalog.optimizers import Optimizer
from finefit.nouns.recording import Recording
from finefit.tape.rewrite import ENTERING, LEAVING, Place, Rewrite

from .parameters import Parameter, Step, parameters_of, steps_of
from .states import BUCKET, FLOAT, MASTER, STEP, Rank, end_of_load, loss_stays, moments_born, without_optimizer

FLATTENED = 500_000_000
"""Elements that are averaged at a time."""


def compose(recording: Recording, optimizer: Optimizer, width: int) -> Rank:
    """`width`: bytes of one element of the weights."""
    parameters = parameters_of(recording, width)
    trained = [one for one in parameters if one.is_trained]
    rewrite = without_optimizer(recording)
    load = end_of_load(recording)
    for parameter in trained:
        rewrite.born(load, FLOAT * parameter.elements, MASTER)
    moments_born(rewrite, load, optimizer, [one.elements for one in trained])
    for step in steps_of(recording, parameters):
        _averaged(rewrite, step, trained, width)
        _stepped(rewrite, step, trained)
        loss_stays(rewrite, step)
    return Rank.told(rewrite, {})


def _averaged(rewrite: Rewrite, step: Step, trained: Sequence[Parameter], width: int) -> None:
    end: Place = (step.backwards[-1].stop, LEAVING)
    rewrite.passes(end, width * min(sum(one.elements for one in trained), FLATTENED), BUCKET)


def _stepped(rewrite: Rewrite, step: Step, trained: Sequence[Parameter]) -> None:
    place: Place = (step.start, ENTERING)
    single = [rewrite.born(place, FLOAT * one.elements, STEP) for one in trained]
    for number in single:
        rewrite.dies(number, place)
    for arrival in step.backwards[0].arrivals:
        rewrite.dies(arrival.storage, place)
