"""From two micro-batches of an optimizer step to any number.

A recording has two: the first makes the gradients, the second adds to them, and all that follow do what the second did.
More of them leave the tensors of their batches, which wait for their turn. For one alone, the second is cut out; what
then differs from a recording of one are single numbers, a few hundred bytes in all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

from finefit.nouns.recording import Recording

from .rewrite import by_birth, placed

RECORDED = 2
CUT = ("forward", "reference", "loss", "backward")


def with_micro_batches(recording: Recording, count: int) -> Recording:
    """A recording of two as one of `count`."""
    if count == 1:
        return _without_second(recording)
    nbytes = list(recording.nbytes)
    for number in further_batches(recording):
        nbytes[number - 1] *= count - 1
    return replace(recording, nbytes=tuple(nbytes))


def further_batches(recording: Recording) -> set[int]:
    """The tensors of the second micro-batch: of those that come together, the later half."""
    found: set[int] = set()
    for (start, label), (stop, _) in zip(recording.marks, recording.marks[1:], strict=False):
        if label.split("/")[2:] == ["batch"]:
            born = [event for event in recording.events[start:stop] if event > 0 and _is_batch(recording, event)]
            found.update(born[len(born) // RECORDED :])
    return found


def of_second(recording: Recording) -> set[int]:
    """All that is born in the second micro-batch, and its tensors."""
    found = further_batches(recording)
    for (start, label), (stop, _) in pairwise(recording.marks):
        if is_second(label):
            found.update(event for event in recording.events[start:stop] if event > 0)
    return found


def is_second(label: str) -> bool:
    """Whether a segment is the second micro-batch's."""
    _, micro, phase = label.split("/")[:3]
    return micro == "1" and phase in CUT


def as_first(label: str) -> str:
    step, _, *rest = label.split("/")
    return "/".join([step, "0", *rest])


def _is_batch(recording: Recording, number: int) -> bool:
    return recording.kind_names[recording.kinds[number - 1]][0] == "batch"


def _without_second(recording: Recording) -> Recording:
    """Without what was born in the second micro-batch; what died in it, dies as the optimizer's step begins."""
    gone = frozenset(of_second(recording))
    alone = _alone(recording.events, recording.marks, len(recording.nbytes), gone)
    return replace(placed(recording, alone.events, alone.places), marks=alone.marks)


@dataclass(frozen=True)
class _Alone:
    events: tuple[int, ...]
    places: tuple[int, ...]
    # of each storage, where it was
    marks: tuple[tuple[int, str], ...]


@lru_cache(maxsize=4)
def _alone(events: tuple[int, ...], marks: tuple[tuple[int, str], ...], storages: int, gone: frozenset[int]) -> _Alone:
    """Of a step's events, whatever the sizes: rows of half the length have the same."""
    left: list[int] = []
    marked: list[tuple[int, str]] = []
    for (start, label), (stop, _) in pairwise(marks):
        if not is_second(label):
            marked.append((len(left), as_first(label)))
        left += [event for event in events[start:stop] if abs(event) not in gone]
    return _Alone(*by_birth(left, storages), (*marked, (len(left), marks[-1][1])))
