"""A recording that is written anew: storages go, come, or die at other moments; the rest stays as it was.

A place is a position in the recording's events and the segment: just before the event at `position`, still in the
segment that ends there (`LEAVING`) or in the one that begins there (`ENTERING`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from finefit.nouns.recording import Recording

from .peaks import Kind

LEAVING, ENTERING = 0, 1
Place = tuple[int, int]


@dataclass(frozen=True)
class _New:
    nbytes: int
    kind: Kind
    block: int | None


class Rewrite:
    """Edits are said in any order, all before anything is told; those of one place happen in the order in which they
    were said."""

    def __init__(self, recording: Recording) -> None:
        self._old = recording
        self._new: list[_New] = []
        self._gone: set[int] = set()
        self._moved: set[int] = set()
        self._edits: dict[Place, list[int]] = defaultdict(list)

    def drop(self, numbers: Iterable[int]) -> None:
        """Storages that never were."""
        self._gone.update(numbers)

    def born(self, place: Place, nbytes: int, kind: Kind, block: int | None = None) -> int:
        """A new storage; the number is for `dies`."""
        self._new.append(_New(nbytes, kind, block))
        number = len(self._old.nbytes) + len(self._new)
        self._edits[place].append(number)
        return number

    def dies(self, number: int, place: Place) -> None:
        """A new storage, or an old one, which then does not die where it did. Once for each."""
        self._moved.add(number)
        self._edits[place].append(-number)

    def passes(self, place: Place, nbytes: int, kind: Kind) -> None:
        """What is born and dies at once."""
        self.dies(self.born(place, nbytes, kind), place)

    def told(self) -> Recording:
        events, marks = self._told
        names: dict[Kind, int] = {name: number for number, name in enumerate(self._old.kind_names)}
        kinds = (*self._old.kinds, *(names.setdefault(one.kind, len(names)) for one in self._new))
        whole = replace(
            self._old,
            nbytes=(*self._old.nbytes, *(one.nbytes for one in self._new)),
            kinds=kinds,
            kind_names=tuple(names),
            block_of=(*self._old.block_of, *(one.block for one in self._new)),
            events=tuple(events),
            marks=tuple(marks),
        )
        return renumbered(whole)

    def was(self) -> tuple[int, ...]:
        """Of each storage that is told, its number before; 0 where it is new."""
        events, _ = self._told
        last = len(self._old.nbytes)
        return tuple(event if event <= last else 0 for event in events if event > 0)

    @cached_property
    def _told(self) -> tuple[list[int], list[tuple[int, str]]]:
        old = self._old.events
        left_out = {*self._gone, *(-number for number in self._gone), *(-number for number in self._moved)}
        labels: dict[int, list[str]] = defaultdict(list)
        for position, label in self._old.marks:
            labels[position].append(label)
        events: list[int] = []
        marks: list[tuple[int, str]] = []
        stops = sorted({*(position for position, _ in self._edits), *labels, len(old)})
        start = 0
        for stop in stops:
            events += [event for event in old[start:stop] if event not in left_out]
            events += self._said((stop, LEAVING))
            marks += [(len(events), label) for label in labels[stop]]
            events += self._said((stop, ENTERING))
            start = stop
        return events, marks

    def _said(self, place: Place) -> list[int]:
        return [event for event in self._edits.get(place, ()) if abs(event) not in self._gone]


def renumbered(recording: Recording) -> Recording:
    """Storages counted anew, by their births."""
    return placed(recording, *by_birth(recording.events, len(recording.nbytes)))


def by_birth(events: Sequence[int], storages: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Events whose storages are counted anew, by their births; and of each that is born, its old place, from 0."""
    born = [event for event in events if event > 0]
    number_of = [0] * storages
    for new, old in enumerate(born, start=1):
        number_of[old - 1] = new
    # of an event +n the nth from the front, of -n the nth from the back
    now = [0, *number_of, *(-number for number in reversed(number_of))]
    return tuple(map(now.__getitem__, events)), tuple(old - 1 for old in born)


def placed(recording: Recording, events: tuple[int, ...], places: Sequence[int]) -> Recording:
    """With these events, of the storages that were at these places."""
    return replace(
        recording,
        nbytes=tuple(map(recording.nbytes.__getitem__, places)),
        kinds=tuple(map(recording.kinds.__getitem__, places)),
        block_of=tuple(map(recording.block_of.__getitem__, places)),
        events=events,
    )
