"""A recording of two optimizer steps as a run's: each micro-batch with tensors of its own sizes, as many of them in a
step as the run has, and the cache emptied where the run empties it.

A step begins with its first micro-batch. The recorded second one is played for every further one; what it leaves beyond
what it found are single numbers (its loss), which the next one replaces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from finefit.nouns.recording import Recording

from .allocator import EMPTY_CACHE
from .steps import Written, cuts_of, heirs, heirs_between

SINGLE_NUMBERS = 512
"""Bytes, of one block: what a micro-batch may leave."""
Sizes = Sequence[int]
"""Of all storages of the recording."""


@dataclass(frozen=True)
class Played:
    """One optimizer step."""

    sizes: tuple[Sizes, ...]
    # at each micro-batch
    empties_cache: bool = False
    # before it begins


@dataclass(frozen=True)
class _Cuts:
    """Positions in the events of a recorded step: its begin, its second micro-batch, the optimizer, its end."""

    start: int
    again: int | None
    # None where the step has one micro-batch
    rest: int
    stop: int


def of_schedule(recording: Recording, steps: Sequence[Played]) -> Recording | None:
    """None where a step or a micro-batch does not leave what it found, or where there are more micro-batches than one
    and only one was recorded."""
    inherits = heirs(recording)
    first, second = (_cuts(recording, step) for step in "01")
    parts = ((first, _pass_on(recording, first)), *((second, _pass_on(recording, second)),) * (len(steps) - 1))
    played = list(zip(steps, parts, strict=True))
    if inherits is None or any(len(step.sizes) > 1 and pass_on is None for step, (_, pass_on) in played):
        return None
    load = recording.events[: first.start]
    written = Written(load, steps[0].sizes[0][: sum(event > 0 for event in load)])
    for number, (step, (cuts, pass_on)) in enumerate(played):
        if number > 1:
            written.hand_on(inherits)
        if step.empties_cache:
            written.events.append(EMPTY_CACHE)
        _play(written, recording.events, cuts, step.sizes, pass_on)
    if len(steps) > 1:
        written.play(recording.events[second.stop :], steps[-1].sizes[-1])
    return written.told(recording, first.start)


@dataclass(frozen=True)
class _Pass:
    """From one micro-batch to the next: heirs, and what is let go."""

    inherits: dict[int, int]
    left: tuple[int, ...]


def _play(written: Written, events: Sequence[int], cuts: _Cuts, sizes: Sequence[Sizes], pass_on: _Pass | None) -> None:
    if cuts.again is None:
        written.play(events[cuts.start : cuts.stop], sizes[0])
        return
    written.play(events[cuts.start : cuts.again], sizes[0])
    for number, each in enumerate(sizes[1:] or sizes):  # where two are recorded, one alone is played twice
        if number and pass_on is not None:
            written.let_go(pass_on.left)
            written.hand_on(pass_on.inherits)
        written.play(events[cuts.again : cuts.rest], each)
    written.play(events[cuts.rest : cuts.stop], sizes[-1])


def _cuts(recording: Recording, step: str) -> _Cuts:
    first: dict[str, int] = {}
    for position, label in recording.marks:
        first.setdefault("/".join(label.split("/")[:3]), position)
    again = first.get(f"{step}/1/forward")
    rest = first[f"{step}/{0 if again is None else 1}/optimizer"]
    outer = cuts_of(recording)
    start, stop = (first["0/0/batch"], outer.second) if step == "0" else (outer.second, outer.end)
    return _Cuts(start, again, rest, stop)


def _pass_on(recording: Recording, cuts: _Cuts) -> _Pass | None:
    found = None if cuts.again is None else heirs_between(recording, cuts.again, cuts.rest)
    if found is None or any(recording.nbytes[number - 1] > SINGLE_NUMBERS for number in found[1]):
        return None
    return _Pass(*found)
