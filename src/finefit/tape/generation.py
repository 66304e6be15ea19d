"""From the reading of a prompt and a few tokens after it to a whole answer.

A step of writing finds what the step before left (the cache, the tokens so far), and leaves the like of it. So a step
that was recorded anywhere can be played after any other: what it finds is known by kind, layer and order. Of one and
the same births and deaths sizes grow by as many bytes with every token, until a window is full or a kernel changes.

Nothing is assumed: between two recorded lengths a step is known only where both have the same births and deaths, and
sizes grow alike just before the one, just after the other, and from the one to the other. Else a length between them is
asked for (`Unknown`). What `generate` has outside of the model may depend on how long the prompt was (beams count what
is written), so it is that of the answer's own prompt, along the line on which it grew there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

from finefit.nouns.recording import Recording

from .peaks import Kind

PHASE = "decode"
RECORDED = 6
"""Tokens that a recording writes after its first one: the first of them finds what reading left, the others are alike,
and show on both sides of a bound how sizes grow."""
BEFORE = 3
"""Tokens before a bound at which a prompt ends whose steps show it."""
PLAYED = 48
"""Steps of an answer that stand for all where memory is reserved. Of eight answers of 128 to 512 tokens all steps
reserved from 0.5 % more to 0.1 % less than every 16th (models of 0.5B to 8B, 1 to 32 rows)."""
Key = tuple[Kind, int | None]
"""Of a storage: its kind, and the layer that it belongs to."""
Death = int | tuple[Key, int]
"""What dies in a step: one of its own storages, counted from 0, or one of those that it found of a key, by birth."""
Sizes = tuple[int, ...]
NO_KIND: Kind = ("", "", "", "")


def prompts(prompt: int, new: int, bounds: Iterable[int]) -> tuple[int, ...]:
    """Where to record an answer of `new` tokens: its own prompt, its end, its middle, and where kernels may change:
    beyond each of the bounds."""
    end = prompt + new - 1 - RECORDED
    middle = [(prompt + end) // 2] if end - prompt > 2 * RECORDED else []
    wanted = {*(bound - BEFORE for bound in bounds), *middle, end}
    return (prompt, *sorted(each for each in wanted if prompt < each <= end))


@dataclass(frozen=True)
class Anchor:
    """A recording of all layers: a prompt is read, and a few tokens are written."""

    prompt: int
    # tokens of a row
    recording: Recording


@dataclass(frozen=True)
class Shape:
    """What is born and dies in a step, without sizes."""

    births: tuple[Key, ...]
    order: tuple[tuple[Death, ...], ...]
    # what dies before the first birth, between the first and the second, and so on


@dataclass(frozen=True)
class Step:
    length: int
    # tokens of a row, with the one whose successor is written
    shape: Shape
    nbytes: Sizes


@dataclass(frozen=True)
class Unknown:
    """A step that recorded ones do not tell."""

    length: int


@dataclass(frozen=True)
class Answer:
    """Recordings of one recipe at several places of an answer; the first is that of its own prompt."""

    anchors: tuple[Anchor, ...]

    @property
    def prompt(self) -> int:
        return self.anchors[0].prompt

    @cached_property
    def steps(self) -> Mapping[int, Step]:
        """What was recorded, by length. The first step after a prompt finds more than others do, so it stands only for
        that of the answer itself."""
        first, *others = ([*_steps(anchor)] for anchor in self.anchors)
        found = {step.length: _beside(step, first) for steps in others for step in steps[1:]}
        return dict(sorted((found | {step.length: step for step in first}).items()))

    def unknown(self, last: int) -> Unknown | None:
        """The first that is not known of the steps up to a length."""
        for before, after in pairwise(self.steps):
            if before < last and after - before > 1 and not self._is_line(before, after):
                return Unknown((before + after) // 2)
        return None if max(self.steps, default=self.prompt) >= last else Unknown(last)

    def _is_line(self, before: int, after: int) -> bool:
        steps = [self.steps.get(length) for length in (before - 1, before, after, after + 1)]
        known = [step for step in steps if step is not None]
        if len(known) < len(steps) or len({step.shape for step in known}) > 1:
            return False
        one, two, three, four = (step.nbytes for step in known)
        gap = after - before
        return all((b - a) * gap == c - b == (d - c) * gap for a, b, c, d in zip(one, two, three, four, strict=True))

    def asking(self, unknown: Unknown, last: int) -> int:
        """The prompt whose first steps tell of a step that is not known."""
        return max(self.prompt + 1, min(unknown.length - BEFORE, last - RECORDED))

    def played(self, last: int) -> list[int]:
        """Lengths that stand for all up to the last: those that were recorded, and some between."""
        recorded = [length for length in self.steps if length <= last]
        between = range(self.prompt + 1, last, max(1, -(-(last - self.prompt) // PLAYED)))
        return sorted({*recorded, *between})

    def step(self, length: int) -> Step:
        """Recorded, or on the line between the nearest that are."""
        if length in self.steps:
            return self.steps[length]
        before, after = next(pair for pair in pairwise(self.steps.values()) if pair[1].length > length)
        gap, place = after.length - before.length, length - before.length
        nbytes = (a + (b - a) // gap * place for a, b in zip(before.nbytes, after.nbytes, strict=True))
        return Step(length, before.shape, tuple(nbytes))

    def written(self, lengths: Iterable[int]) -> Recording:
        """The prompt, and the steps of these lengths one after the other."""
        recording = self.anchors[0].recording
        starts = _starts(recording)
        script = _Script(recording, starts[0] if starts else len(recording.events))
        for length in lengths:
            script.play(self.step(length), f"{length - self.prompt}/0/{PHASE}")
        return script.told()


def _beside(step: Step, own: Sequence[Step]) -> Step:
    """The step, with what is outside of the model as in an answer whose first steps are known."""
    here, before, last = (_outside(each) for each in (step, *own[-2:]))
    if not here.keys() == before.keys() == last.keys():
        return step
    nbytes = list(step.nbytes)
    for place, number in here.items():
        size, earlier = own[-1].nbytes[last[place]], own[-2].nbytes[before[place]]
        nbytes[number] = size + (size - earlier) * (step.length - own[-1].length)
    return replace(step, nbytes=tuple(nbytes))


def _outside(step: Step) -> dict[tuple[Key, int], int]:
    """Births in no module and of no layer."""
    births = step.shape.births
    places = _places(births, range(1, len(births) + 1))
    return {place: number - 1 for number, place in places.items() if place[0][0][2] == "" and place[0][1] is None}


def _starts(recording: Recording) -> list[int]:
    """Where steps begin, and where the last one ends; nothing where there is no step."""
    found: dict[str, int] = {}
    for position, label in recording.marks:
        number, _, phase = label.split("/")[:3] if "/" in label else ("", "", label)
        if phase == PHASE:
            found.setdefault(number, position)
    return [*found.values(), recording.marks[-1][0]] if found else []


def _steps(anchor: Anchor) -> Iterator[Step]:
    recording = anchor.recording
    keys = _keys(recording)
    alive: dict[int, None] = {}
    start = 0
    starts = _starts(recording)
    for number, (position, stop) in enumerate(pairwise(starts), start=1):
        _live(alive, recording.events[start:position])
        yield _step(recording, keys, list(alive), (position, stop), anchor.prompt + number)
        start = position


def _live(alive: dict[int, None], events: Iterable[int]) -> None:
    for event in events:
        if event > 0:
            alive[event] = None
        else:
            alive.pop(-event, None)


def _keys(recording: Recording) -> list[Key]:
    """Of each storage."""
    names = recording.kind_names
    return [(names[kind], block) for kind, block in zip(recording.kinds, recording.block_of, strict=True)]


def _step(
    recording: Recording, keys: Sequence[Key], alive: Sequence[int], bounds: tuple[int, int], length: int
) -> Step:
    found = _places(keys, alive)
    own: dict[int, int] = {}
    births: list[Key] = []
    nbytes: list[int] = []
    order: list[list[Death]] = [[]]
    for event in recording.events[slice(*bounds)]:
        if event > 0:
            own[event] = len(births)
            births.append(keys[event - 1])
            nbytes.append(recording.nbytes[event - 1])
            order.append([])
        else:
            order[-1].append(own[-event] if -event in own else found[-event])
    together = tuple(tuple(sorted(deaths, key=_order)) for deaths in order)
    return Step(length, Shape(tuple(births), together), tuple(nbytes))


def _places(keys: Sequence[Key], alive: Iterable[int]) -> dict[int, tuple[Key, int]]:
    counts: dict[Key, int] = defaultdict(int)
    places = {}
    for number in alive:
        key = keys[number - 1]
        places[number] = (key, counts[key])
        counts[key] += 1
    return places


def _order(death: Death) -> tuple[bool, int, Kind, int]:
    """Deaths with no birth between them have no order that matters."""
    if isinstance(death, int):
        return False, death, NO_KIND, 0
    (kind, block), place = death
    return True, -1 if block is None else block, kind, place


class _Script:
    """A recording, as far as it is written."""

    def __init__(self, recording: Recording, stop: int) -> None:
        """As it was recorded, up to an event."""
        self._recording = recording
        self._events = list(recording.events[:stop])
        born = sum(event > 0 for event in self._events)
        self._nbytes = list(recording.nbytes[:born])
        self._keys = _keys(recording)[:born]
        self._marks = [(position, label) for position, label in recording.marks if position <= stop]
        self._marks = [mark for mark in self._marks if f"/{PHASE}" not in mark[1] and "/" in mark[1]]
        self._alive: dict[Key, dict[int, None]] = defaultdict(dict)
        alive: dict[int, None] = {}
        _live(alive, self._events)
        for number in alive:
            self._alive[self._keys[number - 1]][number] = None

    def play(self, step: Step, label: str) -> None:
        self._marks.append((len(self._events), label))
        found: dict[Key, list[int]] = {}
        first = len(self._nbytes) + 1
        for number, deaths in enumerate(step.shape.order):
            if number:
                self._born(step.shape.births[number - 1], step.nbytes[number - 1], found)
            for death in deaths:
                if isinstance(death, int):
                    self._died(step.shape.births[death], first + death)
                    continue
                key, place = death
                if key not in found:
                    found[key] = list(self._alive[key])
                self._died(key, found[key][place])

    def _born(self, key: Key, nbytes: int, found: dict[Key, list[int]]) -> None:
        if key not in found:
            found[key] = list(self._alive[key])
        self._nbytes.append(nbytes)
        self._keys.append(key)
        self._alive[key][len(self._nbytes)] = None
        self._events.append(len(self._nbytes))

    def _died(self, key: Key, number: int) -> None:
        del self._alive[key][number]
        self._events.append(-number)

    def told(self) -> Recording:
        kinds: dict[Kind, int] = {}
        return replace(
            self._recording,
            nbytes=tuple(self._nbytes),
            kinds=tuple(kinds.setdefault(kind, len(kinds)) for kind, _ in self._keys),
            kind_names=tuple(kinds),
            block_of=tuple(block for _, block in self._keys),
            events=tuple(self._events),
            marks=(*self._marks, (len(self._events), "end")),
        )
