"""A recording of two optimizer steps as one of many, each with tensors of its own sizes.

The first step makes the optimizer's state, the second is like all that follow. What a step finds from the one before it
(its last batch, an output that is still held) it drops, and leaves the like of it to the next: its heir. So the second
step's births and deaths can be played again and again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from finefit.nouns.recording import Recording

SECOND = "1/"
"""How marks of the step begin that is played again."""


@dataclass(frozen=True)
class Cuts:
    """Positions in a recording's events."""

    second: int
    # where the second step begins
    end: int
    # where it ends; training may end too, and an evaluation follow


def cuts_of(recording: Recording) -> Cuts:
    labels = [label for _, label in recording.marks]
    first = next(index for index, label in enumerate(labels) if label.startswith(SECOND))
    last = next(index for index in range(first, len(labels)) if _is_over(labels[index]))
    return Cuts(recording.marks[first][0], recording.marks[last][0])


def _is_over(label: str) -> bool:
    return not label.startswith(SECOND) or label.endswith("/resident")


def heirs(recording: Recording) -> dict[int, int] | None:
    """Of each storage that the second step finds and drops, the one that it leaves in its place; None where what it
    leaves is not what it found.
    """
    cuts = cuts_of(recording)
    found = heirs_between(recording, cuts.second, cuts.end)
    return None if found is None or found[1] else found[0]


def heirs_between(recording: Recording, start: int, stop: int) -> tuple[dict[int, int], tuple[int, ...]] | None:
    """Of each storage that is found at `start` and dropped until `stop`, the like of it that is left, and what else is
    left; None where there is no like of it.
    """
    before, after = set(_alive(recording.events[:start])), set(_alive(recording.events[:stop]))
    left: dict[tuple[int, int | None], list[int]] = defaultdict(list)
    for number in sorted(after - before):
        left[_kind(recording, number)].append(number)
    found: dict[int, int] = {}
    for number in sorted(before - after):
        candidates = left[_kind(recording, number)]
        if not candidates:
            return None
        found[number] = candidates.pop(0)
    return found, tuple(number for numbers in left.values() for number in numbers)


def of_steps(recording: Recording, sizes: Sequence[Sequence[int]]) -> Recording | None:
    """`sizes`: of all storages, at each step's length. None where a step does not leave what it found."""
    inherits = heirs(recording)
    if inherits is None:
        return None
    cuts = cuts_of(recording)
    first = recording.events[: cuts.second]
    written = Written(first, sizes[0][: sum(event > 0 for event in first)])
    for number, step in enumerate(sizes[1:]):
        if number:
            written.hand_on(inherits)
        written.play(recording.events[cuts.second : cuts.end], step)
    written.play(recording.events[cuts.end :], sizes[-1])
    return written.told(recording, cuts.second)


def same_steps(one: Recording, other: Recording) -> bool:
    """Whether the same storages are born and die, whatever their sizes. Deaths with no birth between them have no order
    that matters.
    """
    if one.events == other.events:  # nearly always, and nothing is sorted
        return True
    return len(one.events) == len(other.events) and _in_order(one.events) == _in_order(other.events)


def _in_order(events: Sequence[int]) -> list[int]:
    together = groupby(events, key=lambda event: event < 0)
    return [event for are_deaths, group in together for event in (sorted(group) if are_deaths else group)]


class Written:
    """The longer recording, as far as it is written."""

    def __init__(self, events: Sequence[int], nbytes: Sequence[int]) -> None:
        """What is as it was recorded. Storages are counted by their births, so those are the first."""
        self.events = list(events)
        self.nbytes = list(nbytes)
        self.sources = list(range(len(nbytes)))
        # of each storage, the recorded one (from 0)
        self._now: dict[int, int] = {}
        # which storage stands for a recorded one; itself where none is named

    def play(self, events: Sequence[int], nbytes: Sequence[int]) -> None:
        for event in events:
            if event < 0:
                self.events.append(-self._now.get(-event, -event))
                continue
            self.nbytes.append(nbytes[event - 1])
            self.sources.append(event - 1)
            self._now[event] = len(self.nbytes)
            self.events.append(len(self.nbytes))

    def let_go(self, numbers: Sequence[int]) -> None:
        """Recorded storages, or those that stand for them, die."""
        self.events += [-self._now.get(number, number) for number in numbers]

    def hand_on(self, inherits: Mapping[int, int]) -> None:
        """What was left is what the next one finds."""
        self._now |= {old: self._now.get(new, new) for old, new in inherits.items()}

    def told(self, recording: Recording, unchanged: int) -> Recording:
        """As a recording, whose first events are those of the recorded one."""
        return replace(
            recording,
            nbytes=tuple(self.nbytes),
            kinds=tuple(recording.kinds[source] for source in self.sources),
            block_of=tuple(recording.block_of[source] for source in self.sources),
            events=tuple(self.events),
            marks=(*_marks_before(recording, unchanged), (len(self.events), recording.marks[-1][1])),
        )


def _kind(recording: Recording, number: int) -> tuple[int, int | None]:
    return recording.kinds[number - 1], recording.block_of[number - 1]


def _alive(events: Sequence[int]) -> Iterator[int]:
    alive: dict[int, None] = {}
    for event in events:
        if event > 0:
            alive[event] = None
        else:
            alive.pop(-event)
    yield from alive


def _marks_before(recording: Recording, position: int) -> Iterator[tuple[int, str]]:
    return ((at, label) for at, label in recording.marks if at <= position and not label.startswith(SECOND))
