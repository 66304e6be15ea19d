"""Loops through the layers, outside of them: the balancing loss of experts takes the router of one layer after another.

Knows no model. Births outside of layers that are alike, in as many equal turns as there are layers of all kinds or of
some, may be such a loop: forward from the first layer on, backward from the last. A turn is marked as if its layer ran,
and its storages are that layer's. What dies last while a layer runs, and is of several, is marked as of no layer. So
both expand as all that layers do (`expand.py`), and are proven by that.

Does not know why turns are as many as layers are: without a recording of more layers, anything may be. Nor loops
through a kind's layers whose last one is no model's last or last but one, and leaves something: that does not expand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise

from finefit.nouns.recording import Recording

from .layers import Layers

FEWEST = 3
"""Turns, or layers; what comes twice may be anything."""
TURNS = "turns of "
"""How the phase begins of a mark that is set here."""
RUNNING = 3
"""Slashes in a mark while a layer runs."""

Born = tuple[int, int] | None
"""A storage's kind and bytes; None: of a layer."""
Pattern = tuple[tuple[str, str, str, str], ...]
"""What is born in one turn, by `Recording.kind_names`."""
Mark = tuple[int, str]


@dataclass(frozen=True)
class Part:
    """Between two marks."""

    label: str
    start: int
    stop: int
    # events
    births: tuple[int, ...]
    # their places among the events

    @property
    def has_layer(self) -> bool:
        """Whether one runs."""
        return self.label.count("/") == RUNNING

    @property
    def is_ours(self) -> bool:
        return is_turn(self.label)

    @property
    def ours(self) -> str:
        """The label of what is marked in it."""
        step, micro, phase, *_ = self.label.split("/")
        return f"{step}/{micro}/{TURNS}{phase}"


@dataclass(frozen=True)
class Loop:
    part: Part
    pattern: Pattern
    layers: tuple[int, ...]
    # in the order of turns
    bounds: tuple[int, ...]
    # the events at which turns begin, and where the last one ends

    @property
    def marks(self) -> list[Mark]:
        *starts, end = self.bounds
        turns = zip(starts, self.layers, strict=True)
        return [*((start, f"{self.part.ours}/{block}") for start, block in turns), (end, self.part.ours)]


def with_turns(recordings: Sequence[Recording], recorded: Sequence[Layers]) -> list[Recording]:
    """Recordings of a few layers and of more, with the turns of those loops that are in all of them."""
    pairs = list(zip(recordings, recorded, strict=True))
    common = set.intersection(*({loop.pattern for loop in _loops(*pair)} for pair in pairs))
    return [_marked(recording, layers, common) for recording, layers in pairs]


def with_turns_like(known: Recording, recording: Recording, layers: Layers) -> Recording:
    """With turns where a known one has them, of the loops that it has."""
    if not _has_turns(known):
        return recording
    return _marked(recording, layers, {_pattern(known, _born(known, part)) for part in _turns(known)})


def without_turns(recording: Recording) -> Recording:
    """As it was before they were marked."""
    if not _has_turns(recording):
        return recording
    of_turns = {storage for part in _turns(recording) for storage in _born(recording, part)}
    block_of = (None if storage in of_turns else block for storage, block in enumerate(recording.block_of))
    marks = (mark for mark in recording.marks if not is_turn(mark[1]))
    return replace(recording, block_of=tuple(block_of), marks=tuple(marks))


def is_turn(label: str) -> bool:
    """Whether a mark was set here."""
    return f"/{TURNS}" in label


def _has_turns(recording: Recording) -> bool:
    return any(is_turn(label) for _, label in recording.marks)


def _parts(recording: Recording) -> Iterator[Part]:
    for (start, label), (stop, _) in pairwise(recording.marks):
        births = (place for place in range(start, stop) if recording.events[place] > 0)
        yield Part(label, start, stop, tuple(births))


def _turns(recording: Recording) -> Iterator[Part]:
    """Those that are marked."""
    return (part for part in _parts(recording) if part.is_ours and part.has_layer)


def _born(recording: Recording, part: Part) -> list[int]:
    """Storages, from 0."""
    return [recording.events[place] - 1 for place in part.births]


def _pattern(recording: Recording, born: Iterable[int]) -> Pattern:
    return tuple(recording.kind_names[recording.kinds[storage]] for storage in born)


# Finding


def _loops(recording: Recording, layers: Layers) -> Iterator[Loop]:
    """All that may be, also such as lie in each other."""
    for part in _parts(recording):
        if part.has_layer:
            continue
        born = _born(recording, part)
        facts = [_fact(recording, storage) for storage in born]
        for chosen in _choices(layers):
            for first, length in _repeats(facts, len(chosen)):
                pattern = _pattern(recording, born[first : first + length])
                bounds = _bounds(recording, part, range(first, first + length * len(chosen), length))
                yield Loop(part, pattern, _in_turn(chosen, part), bounds)


def _bounds(recording: Recording, part: Part, firsts: range) -> tuple[int, ...]:
    """`firsts`: which of the part's births begin turns. What dies after the last birth of the last turn is of it where
    the like died after the one before; else it may be no turn's."""
    births = (*part.births, part.stop)
    last, before = births[firsts.stop - 1] + 1, births[firsts.stop - 1 - firsts.step] + 1
    dying = recording.events[last : births[firsts.stop]]
    alike = [event - firsts.step for event in recording.events[before : births[firsts.stop - firsts.step]]]
    end = last + len(dying) if sorted(dying) == sorted(alike) else last
    return (*births[firsts.start : firsts.stop : firsts.step], end)


def _fact(recording: Recording, storage: int) -> Born:
    return None if recording.block_of[storage] is not None else (recording.kinds[storage], recording.nbytes[storage])


def _choices(layers: Layers) -> Iterator[tuple[int, ...]]:
    """The layers of all kinds, and of fewer and fewer, whether checkpointed or not. Of equally many, the kind that is
    the last layer's: what a loop leaves is of its last turns, and only the last two layers are surely recorded."""
    kinds = Counter(reversed(layers.lower()))
    seen = set()
    for number in range(len(kinds), 0, -1):
        for some in combinations(kinds, number):
            count = sum(kinds[kind] for kind in some)
            if count >= FEWEST and count not in seen:
                seen.add(count)
                yield tuple(place for place, kind in enumerate(layers.lower()) if kind in some)


def _in_turn(chosen: tuple[int, ...], part: Part) -> tuple[int, ...]:
    return chosen[::-1] if part.label.endswith("/backward") else chosen


def _repeats(facts: Sequence[Born], times: int) -> Iterator[tuple[int, int]]:
    """Where something comes so many times in a row, no more and no less, and how long it is."""
    for length in range(1, len(facts) // times + 1):
        alike = 0
        for place in range(length, len(facts) + 1):
            if place < len(facts) and facts[place] is not None and facts[place] == facts[place - length]:
                alike += 1
                continue
            if 0 <= alike - length * (times - 1) < length:
                yield place - alike - length, length
            alike = 0


# Marking


def _marked(recording: Recording, layers: Layers, patterns: set[Pattern]) -> Recording:
    loops = list(_apart(loop for loop in _loops(recording, layers) if loop.pattern in patterns))
    block_of = list(recording.block_of)
    for loop in loops:
        for block, (start, stop) in zip(loop.layers, pairwise(loop.bounds), strict=True):
            for event in recording.events[start:stop]:
                if event > 0:
                    block_of[event - 1] = block
    marks = [*recording.marks, *(mark for loop in loops for mark in loop.marks), *_left(recording)]
    return replace(recording, block_of=tuple(block_of), marks=tuple(sorted(marks, key=_order)))


def _apart(loops: Iterator[Loop]) -> Iterator[Loop]:
    """The longest ones that do not lie in each other."""
    taken: list[tuple[int, int]] = []
    for loop in sorted(loops, key=lambda loop: loop.bounds[0] - loop.bounds[-1]):
        start, stop = loop.bounds[0], loop.bounds[-1]
        if all(stop <= before or after <= start for before, after in taken):
            taken.append((start, stop))
            yield loop


def _left(recording: Recording) -> Iterator[Mark]:
    """Where storages of several layers die as one has run: what autograd frees with the last of its graph."""
    for part in _parts(recording):
        after = part.births[-1] + 1 if part.births else part.start
        dying = {recording.block_of[-event - 1] for event in recording.events[after : part.stop]}
        if part.has_layer and len(dying - {None}) >= FEWEST:
            yield after, part.ours


def _order(mark: Mark) -> tuple[int, int]:
    """At one event a loop ends, then the next part begins, then its first turn."""
    position, label = mark
    return position, 1 if not is_turn(label) else 2 if label.count("/") == RUNNING else 0
