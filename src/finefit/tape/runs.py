"""A recording as runs, and its sweeps through more layers than were recorded.

A recording of a few layers is cut into runs: events while a layer runs, or of storages that belong to one (the
optimizer goes through all layers without running any). Runs that go through the layers in order, up or down, all of
them or all of some kinds, form a sweep. The whole model's sweep goes through all its layers, each played by the
recorded one that stands for it (`layers.py`). A storage is named by its layer and its number among that layer's
storages, and a run names other layers by their distance. Outside of sweeps only storages of layers that stand for one
alone may be named.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, count, groupby, pairwise, takewhile
from operator import itemgetter

from finefit.nouns.recording import Recording

from .layers import Layers, sources
from .peaks import segments

Name = tuple[int | None, int]
"""A storage: its layer (None: of no layer), and its number among that layer's storages, in the order of births."""

Part = tuple[str | None, tuple[int, ...]]
"""The label of a mark (None: it goes on from the one before), and the events after it, as a recording has them."""


@dataclass(frozen=True)
class Run:
    """Parts that belong together: of one layer, or of none."""

    block: int | None
    parts: tuple[Part, ...]
    shift: int = 0
    # how far the layers whose storages they name have moved


@dataclass(frozen=True)
class Cut:
    """A recording of a few layers, taken apart once for every number of layers that it is stretched to."""

    recording: Recording

    @cached_property
    def names(self) -> list[Name]:
        """Of each storage, in the order of their numbers, which is the order of births."""
        numbers: defaultdict[int | None, Iterator[int]] = defaultdict(count)
        return [(block, next(numbers[block])) for block in self.recording.block_of]

    @cached_property
    def numbers(self) -> dict[int | None, list[int]]:
        """Of the storages of each layer, from 0, in the order of births."""
        found: dict[int | None, list[int]] = {}
        for number, block in enumerate(self.recording.block_of):
            found.setdefault(block, []).append(number)
        return found

    @cached_property
    def runs(self) -> list[Run]:
        return _runs(self)


@dataclass(frozen=True)
class Stretch:
    """The layers of a recording, and those of the whole model."""

    few: Layers
    whole: Layers

    @cached_property
    def sources(self) -> tuple[int, ...] | None:
        """The recorded layer that stands at each place of the whole."""
        return tuple(range(len(self.few))) if self.few == self.whole else sources(self.few, self.whole)

    @cached_property
    def places(self) -> tuple[tuple[int, ...], ...]:
        """Where each recorded layer stands in the whole: nowhere, once, or often."""
        found: list[list[int]] = [[] for _ in self.few]
        for place, block in enumerate(self.sources or ()):
            found[block].append(place)
        return tuple(map(tuple, found))

    def runs(self, cut: Cut) -> list[Run] | None:
        """Of the whole; None where the few do not stand for it."""
        if self.few == self.whole or self.sources is None:
            return None if self.sources is None else cut.runs
        return _with_layers(cut.runs, self)


def _runs(cut: Cut) -> list[Run]:
    placed = groupby(_placed(cut), key=itemgetter(0))
    return [Run(block, tuple(part for _, part in pairs)) for block, pairs in placed]


def _placed(cut: Cut) -> Iterator[tuple[int | None, Part]]:
    """Parts with the layer that they belong to: the one that runs, else the storages' own."""
    recording, ranks = cut.recording, _ranks(cut)
    for segment in segments(recording):
        running, label = _running(segment.label), _unnumbered(segment.label)
        events = _ordered(recording.events[segment.start : segment.stop], ranks)
        if running is not None:
            yield running, (label, tuple(events))
            continue
        yield None, (label, ())
        blocks = _together(events, [recording.block_of[abs(event) - 1] for event in events])
        for block, pairs in groupby(zip(blocks, events, strict=True), key=itemgetter(0)):
            yield block, (None, tuple(event for _, event in pairs))


def _together(events: Sequence[int], blocks: Sequence[int | None]) -> Sequence[int | None]:
    """What dies between two births of one layer dies because of it: an optimizer that goes through the parameters, one
    by one, drops the last one's tensors as it makes those of the next."""
    together = list(blocks)
    births = [place for place, event in enumerate(events) if event > 0]
    for last, following in pairwise(births):
        if blocks[last] == blocks[following] is not None:
            together[last:following] = [blocks[last]] * (following - last)
    return together


def _running(label: str) -> int | None:
    parts = label.split("/")
    return int(parts[3]) if len(parts) == 4 else None


def _unnumbered(label: str) -> str:
    """Without the number of the layer, which its place in the sweep gives."""
    return "/".join(label.split("/")[:3])


def _ordered(events: Sequence[int], ranks: Sequence[int]) -> list[int]:
    """Deaths with no birth between them have no order that matters; some have none at all (autocast's cache)."""
    ordered: list[int] = []
    for are_deaths, group in groupby(events, key=(0).__gt__):
        together = list(group)
        if are_deaths:
            together.sort(key=ranks.__getitem__)
        ordered += together
    return ordered


def _ranks(cut: Cut) -> list[int]:
    """By layers, those of none first, then by births: of storage n at -n, where deaths have it."""
    ranks = [0] * len(cut.recording.nbytes)
    ordered = chain.from_iterable(cut.numbers[block] for block in sorted(cut.numbers, key=_place))
    for rank, storage in enumerate(ordered):
        ranks[-storage - 1] = rank
    return ranks


def _place(block: int | None) -> int:
    return -1 if block is None else block


def _with_layers(runs: list[Run], stretch: Stretch) -> list[Run] | None:
    """The runs with every sweep made longer; None where a run outside of one is of a layer that stands for several, or
    for none."""
    longer: list[Run] = []
    position = 0
    while position < len(runs):
        run = runs[position]
        sweep = _sweep_at(runs, position, stretch.few)
        if run.block is None:
            longer.append(run)
            position += 1
        elif sweep:
            longer.extend(_longer(sweep, stretch))
            position += len(sweep)
        elif len(stretch.places[run.block]) == 1:
            longer.append(_moved(run, stretch.places[run.block][0]))
            position += 1
        else:
            return None
    return longer


def _sweep_at(runs: list[Run], position: int, layers: Layers) -> list[Run]:
    """The runs from here that go up or down through all layers, or through all of some kinds; the longest such, empty
    where there are none."""
    blocks = _in_one_direction(runs, position, len(layers))
    for length in range(len(blocks), 1, -1):
        kinds = {layers[block] for block in blocks[:length]}
        if length == sum(layers.count(kind) for kind in kinds):
            return runs[position : position + length]
    return []


def _in_one_direction(runs: list[Run], position: int, most: int) -> list[int]:
    """Layers from here, as far as they only rise or only fall."""
    following = takewhile(lambda block: block is not None, (run.block for run in runs[position : position + most]))
    blocks = [block for block in following if block is not None]
    rising = [after > before for before, after in pairwise(blocks)]
    return blocks[: 1 + sum(1 for _ in takewhile(lambda rises: rises == rising[0], rising))]


def _longer(sweep: list[Run], stretch: Stretch) -> list[Run]:
    run_of = {run.block: run for run in sweep}
    kinds = {stretch.few[block] for block in run_of if block is not None}
    places = [place for place, kind in enumerate(stretch.whole) if kind in kinds]
    if sweep[0].block != min(block for block in run_of if block is not None):
        places.reverse()
    assert stretch.sources is not None
    return [_moved(run_of[stretch.sources[place]], place) for place in places]


def _moved(run: Run, place: int) -> Run:
    """The run as that of another layer; the layers that it names move along."""
    assert run.block is not None
    return replace(run, block=place, shift=place - run.block)
