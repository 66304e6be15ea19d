"""A few layers stand for many, event by event.

A recording of a few layers is cut into runs: events while a layer runs, or of storages that belong to one (the
optimizer goes through all layers without running any). Runs that go through the layers in order, up or down, all of
them or all of some kinds, form a sweep. The whole model's sweep goes through all its layers, each played by the
recorded one that stands for it (`layers.py`). A storage is named by its layer and its number among that layer's
storages, and a run names other layers by their distance. Outside of sweeps only storages of layers that stand for one
alone may be named.

Nothing is assumed: a model is trusted only where the few, expanded to one more of what the model repeats, equal a
recording of that: the same births and deaths in the same order, and the same sizes but for storages of no layer, which
may grow with the layers along a line (the list of all gradients' norms does). What does not fall into sweeps, also not
where loops through the layers outside of them are taken for such (`turns.py`), gives None.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count, groupby, pairwise, takewhile

from finefit.nouns.recording import Recording

from .layers import Layers, sources, times
from .turns import with_turns, without_turns

Name = tuple[int | None, int]
"""A storage: its layer (None: of no layer), and its number among that layer's storages, in the order of births."""

Item = tuple[int, Name] | str
"""(+1 birth or -1 death, storage), or the label of a mark."""


@dataclass(frozen=True)
class Run:
    """Items that belong together: of one layer, or of none."""

    block: int | None
    items: tuple[Item, ...]
    shift: int = 0
    # how far the layers that they name have moved


@dataclass(frozen=True)
class Cut:
    """A recording of a few layers, taken apart once for every number of layers that it is stretched to."""

    recording: Recording

    @cached_property
    def names(self) -> list[Name]:
        return _names(self.recording)

    @cached_property
    def numbers(self) -> dict[int | None, list[int]]:
        """Of the storages of each layer, from 0, in the order of births."""
        found: dict[int | None, list[int]] = {}
        for number, block in enumerate(self.recording.block_of):
            found.setdefault(block, []).append(number)
        return found

    @cached_property
    def runs(self) -> list[Run]:
        return _runs(self.recording)


@dataclass(frozen=True)
class Stretch:
    """The layers of a recording, and those of the whole model."""

    few: Layers
    whole: Layers

    @cached_property
    def sources(self) -> tuple[int, ...] | None:
        """The recorded layer that stands at each place of the whole."""
        return sources(self.few, self.whole)

    @cached_property
    def places(self) -> tuple[tuple[int, ...], ...]:
        """Where each recorded layer stands in the whole: nowhere, once, or often."""
        found: list[list[int]] = [[] for _ in self.few]
        for place, block in enumerate(self.sources or ()):
            found[block].append(place)
        return tuple(map(tuple, found))


@dataclass(frozen=True)
class Growth:
    """What one more of that which a model repeats changes besides its own storages."""

    unit: Layers
    nbytes: dict[Name, int]
    # by how much storages of no layer are larger
    frozen_parameters: int
    trainable_parameters: int


@dataclass(frozen=True)
class Proof:
    few: Recording
    # perhaps with marks of the turns that it takes through the layers
    growths: tuple[Growth, ...]
    # of each unit


def expand(recordings: Sequence[Recording], recorded: Sequence[Layers], whole: Layers) -> Recording | None:
    """The recording of a whole model from that of a few of its layers, and those of one more of each unit; None where
    it has no such form. `recorded`: the layers of each."""
    proof = proof_of(recordings, recorded)
    return None if proof is None else stretch(Cut(proof.few), recorded[0], proof.growths, whole)


def proof_of(recordings: Sequence[Recording], recorded: Sequence[Layers]) -> Proof | None:
    """That a few layers stand for many; None where they do not."""
    for told in _tellings(recordings, recorded):
        growths = _growths(told, recorded)
        if growths is not None:
            return Proof(told[0], growths)
    return None


def _tellings(recordings: Sequence[Recording], recorded: Sequence[Layers]) -> Iterator[Sequence[Recording]]:
    yield recordings
    yield with_turns(recordings, recorded)


def _growths(recordings: Sequence[Recording], recorded: Sequence[Layers]) -> tuple[Growth, ...] | None:
    """What one more of each unit changes; None where that is not all."""
    (few, *more), (layers, *grown) = recordings, recorded
    growths = [_growth(few, one, Stretch(layers, longer)) for one, longer in zip(more, grown, strict=True)]
    proven = tuple(growth for growth in growths if growth is not None)
    return proven if len(proven) == len(growths) else None


def stretch(few: Cut, layers: Layers, growths: Sequence[Growth], whole: Layers) -> Recording | None:
    """A recording whose growths are known, as the whole model; None where it has layers that these do not show."""
    if whole == layers:
        return without_turns(few.recording)
    more = times(layers, whole, [growth.unit for growth in growths])
    expanded = None if more is None else _expanded(few, Stretch(layers, whole))
    return None if expanded is None or more is None else without_turns(_grown(expanded, growths, more))


def _growth(few: Recording, more: Recording, stretch: Stretch) -> Growth | None:
    """None where more differs than the sizes of storages of no layer."""
    expected = _expanded(Cut(few), stretch)
    if expected is None or _events(expected) != _events(more):
        return None
    before, after = storages_and_events(expected)[0], storages_and_events(more)[0]
    nbytes = {name: after[name] - size for name, size in before.items() if after[name] != size}
    if any(block is not None for block, _ in nbytes):
        return None
    unit = "".join(sorted((Counter(stretch.whole) - Counter(stretch.few)).elements()))
    trained = more.trainable_parameters - few.trainable_parameters
    return Growth(unit, nbytes, more.parameters - few.parameters - trained, trained)


def storages_and_events(recording: Recording) -> tuple[dict[Name, int], list[Item]]:
    """Every storage with its bytes, and every event; equal for two recordings of the same history.

    Deaths with no birth between them are in one order, whichever they came in.
    """
    return dict(zip(_names(recording), recording.nbytes, strict=True)), _events(recording)


def _events(recording: Recording) -> list[Item]:
    return [item for run in _runs(recording) for item in run.items]


def _grown(expanded: Recording, growths: Sequence[Growth], more: Sequence[int]) -> Recording:
    """Parameters, and storages of no layer, each as much larger as the added layers make it."""
    added = list(zip(growths, more, strict=True))
    larger: Counter[Name] = Counter()
    for growth, number in added:
        larger.update({name: number * nbytes for name, nbytes in growth.nbytes.items()})
    nbytes = expanded.nbytes
    if larger:
        nbytes = tuple(size + larger[name] for name, size in zip(_names(expanded), nbytes, strict=True))
    frozen = sum(number * growth.frozen_parameters for growth, number in added)
    trained = sum(number * growth.trainable_parameters for growth, number in added)
    return replace(
        expanded,
        nbytes=nbytes,
        parameters=expanded.parameters + frozen + trained,
        trainable_parameters=expanded.trainable_parameters + trained,
    )


# Reading


def _names(recording: Recording) -> list[Name]:
    """Of each storage, in the order of their numbers, which is the order of births."""
    numbers: defaultdict[int | None, Iterator[int]] = defaultdict(count)
    return [(block, next(numbers[block])) for block in recording.block_of]


def _runs(recording: Recording) -> list[Run]:
    placed = groupby(_placed(recording), key=lambda pair: pair[0])
    return [Run(block, tuple(item for _, item in pairs)) for block, pairs in placed]


def _placed(recording: Recording) -> Iterator[tuple[int | None, Item]]:
    """Every item with the layer that it belongs to: the one that runs, else the storage's own."""
    names = _names(recording)
    for (start, label), (stop, _) in zip(recording.marks, recording.marks[1:], strict=False):
        running = _running(label)
        yield running, _unnumbered(label)
        events = list(_ordered(recording.events[start:stop], names))
        blocks = [names[abs(event) - 1][0] for event in events] if running is None else [running] * len(events)
        for event, block in zip(events, _together(events, blocks), strict=True):
            yield block, (1 if event > 0 else -1, names[abs(event) - 1])


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


def _ordered(events: Sequence[int], names: Sequence[Name]) -> Iterator[int]:
    """Deaths with no birth between them have no order that matters; some have none at all (autocast's cache)."""
    for are_deaths, group in groupby(events, key=lambda event: event < 0):
        together = list(group)
        if are_deaths:
            together.sort(key=lambda event: _place(names[-event - 1]))
        yield from together


def _place(name: Name) -> tuple[int, int]:
    block, number = name
    return (-1 if block is None else block, number)


# Expanding


def _expanded(few: Cut, stretch: Stretch) -> Recording | None:
    """As it is with more layers, all sizes as recorded."""
    assert few.recording.blocks == len(stretch.few)
    if stretch.sources is None:
        return None
    runs = _with_layers(few.runs, stretch)
    return None if runs is None else _written(few, runs, stretch.sources)


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


# Writing


def _written(few: Cut, runs: Sequence[Run], source_of: Sequence[int]) -> Recording | None:
    """The runs as a recording; None where a storage would die that is not alive."""
    recording, originals = few.recording, few.numbers
    alive: defaultdict[int | None, dict[int, int]] = defaultdict(dict)
    originals_of: list[int] = []
    block_of: list[int | None] = []
    events: list[int] = []
    marks: list[tuple[int, str]] = []
    for run in runs:
        shift = run.shift
        for item in run.items:
            if isinstance(item, str):
                marks.append((len(events), item if run.block is None else f"{item}/{run.block}"))
                continue
            sign, (block, number) = item
            place = None if block is None else block + shift
            if sign > 0:
                originals_of.append(originals[None if place is None else source_of[place]][number])
                block_of.append(place)
                alive[place][number] = born = len(originals_of)
                events.append(born)
            elif number in alive[place]:
                events.append(-alive[place].pop(number))
            else:
                return None
    return Recording(
        blocks=len(source_of),
        nbytes=tuple(recording.nbytes[source] for source in originals_of),
        kinds=tuple(recording.kinds[source] for source in originals_of),
        kind_names=recording.kind_names,
        block_of=tuple(block_of),
        events=tuple(events),
        marks=(*marks, (len(events), recording.marks[-1][1])),
        parameters=recording.parameters,
        trainable_parameters=recording.trainable_parameters,
    )
