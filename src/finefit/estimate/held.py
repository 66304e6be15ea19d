"""What a rank holds of the model's state between two steps, from what is composed of it: kind by kind, with what it has
in the host's memory, so that it can stand beside what a run measures.

Knows: parameters, gradients, the optimizer's state with its float32 copies. Leaves out: buckets, gathered parameters,
buffers, the batch.
"""

from __future__ import annotations

from collections.abc import Mapping

from finefit.nouns.engine import HELD
from finefit.tape.parallel.states import Rank
from finefit.tape.peaks import held_at, segments

OF_CATEGORY = {
    "weight": "parameters",
    "adapter": "parameters",
    "gradient": "gradients",
    "optimizer": "optimizer state",
    "master": "optimizer state",
}
OF_HOST = {
    "weights": "parameters",
    "float32 weights": "optimizer state",
    "trained weights": "optimizer state",
    "optimizer state": "optimizer state",
    "float32 gradients": "gradients",
    "gradients": "gradients",
}
"""In the words of `tape.parallel`; others are buffers, or gone between two steps."""


def held_by(rank: Rank) -> Mapping[str, int]:
    """After the last step that was recorded, before rows are evaluated."""
    recording = rank.recording
    evaluated = [segment.start for segment in segments(recording) if segment.phase == "evaluation"]
    found = dict.fromkeys(HELD, 0)
    for (category, *_), held in held_at(recording, min(evaluated, default=len(recording.events)) - 1).items():
        if category in OF_CATEGORY:
            found[OF_CATEGORY[category]] += held.nbytes
    for what, nbytes in rank.host.items():
        if what in OF_HOST:
            found[OF_HOST[what]] += nbytes
    return found
