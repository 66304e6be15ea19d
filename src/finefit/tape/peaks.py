"""Walking a recording: how many bytes are alive, at the fullest moment of each phase and of the whole.

`round_to` is the block size of the allocator that will serve the storages: 512 bytes for CUDA's caching allocator
(c10/cuda/CUDACachingAllocator.cpp, kMinBlockSize), 1 for counting tensors themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate

from finefit.nouns.recording import Recording

CUDA_BLOCK_BYTES = 512


@dataclass(frozen=True)
class Moment:
    """The fullest moment of one segment."""

    nbytes: int
    position: int
    # in the recording's events: the event after which so many bytes were alive


@dataclass(frozen=True)
class Segment:
    """The events between two marks; none, where nothing is born or dies (the model waits between two steps)."""

    label: str
    # step/micro/phase, or step/micro/phase/block
    start: int
    stop: int

    @property
    def phase(self) -> str:
        phase = self.label.split("/")[2]
        return {"batch": "forward", "loss": "forward"}.get(phase, phase)


def segments(recording: Recording) -> Iterator[Segment]:
    for (start, label), (stop, _) in zip(recording.marks, recording.marks[1:], strict=False):
        yield Segment(label, start, stop)


def rounded(recording: Recording, round_to: int) -> list[int]:
    blocks = {nbytes: -(-nbytes // round_to) * round_to for nbytes in set(recording.nbytes)}
    return list(map(blocks.__getitem__, recording.nbytes))


def moments(recording: Recording, round_to: int = 1) -> list[tuple[Segment, Moment]]:
    """The fullest moment of every segment, the first where several are, in the order of time."""
    sizes = rounded(recording, round_to)
    # of an event +n the nth from the front, of -n the nth from the back
    changes = [0, *sizes, *(-nbytes for nbytes in reversed(sizes))]
    # live[n]: before the event n
    live = list(accumulate(map(changes.__getitem__, recording.events), initial=0))
    found = []
    for segment in segments(recording):
        here = live[segment.start : segment.stop + 1]  # the first is what is alive as the segment begins
        nbytes = max(here)
        found.append((segment, Moment(nbytes, segment.start + here.index(nbytes) - 1)))
    return found


def phase_peaks(recording: Recording, round_to: int = 1) -> dict[str, int]:
    """The highest bytes alive in each phase over all recorded steps, and over everything as `peak`."""
    peaks = by_phase(moments(recording, round_to))
    return {**peaks, "peak": max(peaks.values())}


def by_phase(found: Iterable[tuple[Segment, Moment]]) -> dict[str, int]:
    """The highest bytes alive in each phase, from the fullest moments of all segments."""
    peaks: dict[str, int] = {}
    for segment, moment in found:
        peaks[segment.phase] = max(peaks.get(segment.phase, 0), moment.nbytes)
    return peaks


Kind = tuple[str, str, str, str]
"""(category, phase of birth, module with its layer's number as `*`, operation)."""


@dataclass(frozen=True)
class Held:
    """Storages of one kind that are alive at a moment."""

    nbytes: int
    count: int


def held_at(recording: Recording, position: int, round_to: int = 1) -> dict[Kind, Held]:
    """What is alive right after the event at `position`, by kind."""
    sizes = rounded(recording, round_to)
    kinds = [without_layer(name) for name in recording.kind_names]
    held: dict[Kind, Held] = {}
    for number in alive_at(recording, position):
        kind = kinds[recording.kinds[number - 1]]
        before = held.get(kind, Held(0, 0))
        held[kind] = Held(before.nbytes + sizes[number - 1], before.count + 1)
    return held


def without_layer(kind: Kind) -> Kind:
    """Kinds whose modules differ in nothing but the layer's number are one."""
    category, phase, module, op = kind
    return category, phase, ".".join("*" if part.isdigit() else part for part in module.split(".")), op


def alive_at(recording: Recording, position: int) -> set[int]:
    """The storages (counted from 1) alive right after the event at `position`."""
    alive: set[int] = set()
    for event in recording.events[: position + 1]:
        if event > 0:
            alive.add(event)
        else:
            alive.discard(-event)
    return alive
