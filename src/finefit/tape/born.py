"""What is born in each micro-batch of a step, by kind: how many storages and how many bytes.

Every kernel that does not work in place gives birth to what it writes, so this is what a step computes. Does not know:
kernels that work in place, such as those that add gradients up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from finefit.nouns.recording import Recording

from .peaks import Held, Kind, segments, without_layer

Born = Mapping[Kind, Held]

STEP = "1"
"""The second one: the first lacks the optimizer's state."""
OPTIMIZER = "optimizer"


def born(recording: Recording) -> dict[str, Born]:
    """Of each micro-batch by its number, and of the optimizer's step."""
    counts: dict[str, Counter[int]] = {}
    nbytes: dict[str, Counter[int]] = {}
    kinds, sizes = recording.kinds, recording.nbytes
    for segment in segments(recording):
        part = part_of(segment.label)
        if part is None:
            continue
        count, total = counts.setdefault(part, Counter()), nbytes.setdefault(part, Counter())
        for event in recording.events[segment.start : segment.stop]:
            if event > 0:
                kind = kinds[event - 1]
                count[kind] += 1
                total[kind] += sizes[event - 1]
    names = [without_layer(name) for name in recording.kind_names]
    return {part: _by_name(names, counts[part], nbytes[part]) for part in counts}


def part_of(label: str) -> str | None:
    """The number of a micro-batch, or the optimizer's step; None where what is born is not counted."""
    step, micro, phase = label.split("/")[:3]
    if step != STEP or phase in ("resident", "evaluation"):
        return None
    return OPTIMIZER if phase == OPTIMIZER else micro


def _by_name(names: list[Kind], counts: Mapping[int, int], nbytes: Mapping[int, int]) -> Born:
    found: dict[Kind, Held] = {}
    for kind, count in counts.items():
        before = found.get(names[kind], Held(0, 0))
        found[names[kind]] = Held(before.nbytes + nbytes[kind], before.count + count)
    return found
