"""A few layers stand for many, event by event.

A recording of a model with five equal layers is cut into runs: events while a layer runs, or of storages that belong to
one (the optimizer goes through all layers without running any). Runs that go through the layers in order, up or down,
form a sweep. To have more layers, the middle run of every sweep is repeated; the first two and the last two stay, since
they may differ (the first layer's input is the embedding's, the last one's output feeds the loss). A storage is named
by its layer and its number among that layer's storages, and a run names other layers by their distance. Outside of
sweeps only storages of the outer layers may be named, counted from their end.

Where the first layers are checkpointed and the rest is not, there are two groups of five, each with its own middle.

Nothing is assumed: a model is trusted only where five layers, expanded to six, equal a recording of six: the same
births and deaths in the same order, and the same sizes but for storages of no layer, which may grow with the layers
along a line (the list of all gradients' norms does). What does not fall into sweeps gives None.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from finefit.nouns.recording import Recording

LAYERS = 5
"""Of one group, in a recording that can be expanded: two at either end, and one that is repeated."""
MIDDLE = 2
FEWEST = -1
"""Added layers of a group: the middle one may be left out."""

Name = tuple[int | None, int]
"""A storage: its layer (None: of no layer), and its number among that layer's storages, in the order of births."""

Item = tuple[int, Name] | str
"""(+1 birth or -1 death, storage), or the label of a mark."""


@dataclass(frozen=True)
class Run:
    """Items that belong together: of one layer, or of none."""

    block: int | None
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Stretch:
    """How many layers are added to each group, and so where each recorded layer goes."""

    extra: tuple[int, ...]

    @property
    def recorded(self) -> int:
        return LAYERS * len(self.extra)

    @property
    def layers(self) -> int:
        return self.recorded + sum(self.extra)

    def places(self, block: int) -> range:
        """Where a recorded layer stands in the whole: many places for a middle one."""
        group, inside = divmod(block, LAYERS)
        start = block + sum(self.extra[:group])
        if inside > MIDDLE:
            start += self.extra[group]
        return range(start, start + 1 + (self.extra[group] if inside == MIDDLE else 0))

    def source(self, place: int) -> int:
        """The recorded layer that stands at a place of the whole."""
        return next(block for block in range(self.recorded) if place in self.places(block))


def expand(few: Recording, more: Sequence[Recording], layers: Sequence[int]) -> Recording | None:
    """The recording of `layers` layers in each group; None where it has no such form.

    `few` has five in each; the k-th of `more` has six in the k-th group and five in the others.
    """
    growths = growths_of(few, more)
    return None if growths is None else stretch(few, growths, layers)


Growth = dict[Name, int]
"""By how many bytes storages of no layer are larger with one more layer in a group."""


def growths_of(few: Recording, more: Sequence[Recording]) -> tuple[Growth, ...] | None:
    """The proof that a few layers stand for many: what one more of each group changes; None where that is not all."""
    growths = [_growth(few, one, group, len(more)) for group, one in enumerate(more)]
    return None if None in growths else tuple(growth for growth in growths if growth is not None)


def stretch(few: Recording, growths: Sequence[Growth], layers: Sequence[int]) -> Recording | None:
    """A recording whose growths are known, with `layers` layers in each group; None for fewer than four of one."""
    extra = tuple(count - LAYERS for count in layers)
    assert few.blocks == Stretch(extra).recorded
    if min(extra) < FEWEST:
        return None
    expanded = _expanded(few, Stretch(extra))
    return None if expanded is None else _grown(expanded, growths, extra)


def _growth(few: Recording, more: Recording, group: int, groups: int) -> Growth | None:
    """By how much storages of no layer are larger with one more layer in a group; None where more than that differs."""
    expected = _expanded(few, Stretch(tuple(int(each == group) for each in range(groups))))
    if expected is None or _events(expected) != _events(more):
        return None
    before, after = storages_and_events(expected)[0], storages_and_events(more)[0]
    growth = {name: after[name] - size for name, size in before.items() if after[name] != size}
    return None if any(block is not None for block, _ in growth) else growth


def storages_and_events(recording: Recording) -> tuple[dict[Name, int], list[Item]]:
    """Every storage with its bytes, and every event; equal for two recordings of the same history.

    Deaths with no birth between them are in one order, whichever they came in.
    """
    return dict(zip(_names(recording), recording.nbytes, strict=True)), _events(recording)


def _events(recording: Recording) -> list[Item]:
    return [item for run in _runs(recording) for item in run.items]


def _grown(expanded: Recording, growths: Sequence[Growth], extra: Sequence[int]) -> Recording:
    """Storages of no layer, each as much larger as the added layers make it."""
    nbytes = [
        size + sum(count * growth.get(name, 0) for growth, count in zip(growths, extra, strict=True))
        for name, size in zip(_names(expanded), expanded.nbytes, strict=True)
    ]
    return replace(expanded, nbytes=tuple(nbytes))


# Reading


def _names(recording: Recording) -> list[Name]:
    """Of each storage, in the order of their numbers, which is the order of births."""
    counts: dict[int | None, int] = {}
    names = []
    for block in recording.block_of:
        counts[block] = counts.get(block, -1) + 1
        names.append((block, counts[block]))
    return names


def _runs(recording: Recording) -> list[Run]:
    placed = groupby(_placed(recording), key=lambda pair: pair[0])
    return [Run(block, tuple(item for _, item in pairs)) for block, pairs in placed]


def _placed(recording: Recording) -> Iterator[tuple[int | None, Item]]:
    """Every item with the layer that it belongs to: the one that runs, else the storage's own."""
    names = _names(recording)
    for (start, label), (stop, _) in zip(recording.marks, recording.marks[1:], strict=False):
        running = _running(label)
        yield running, _unnumbered(label)
        for event in _ordered(recording.events[start:stop], names):
            name = names[abs(event) - 1]
            yield (name[0] if running is None else running), (1 if event > 0 else -1, name)


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


def _expanded(recording: Recording, stretch: Stretch) -> Recording | None:
    """As it is with more layers, all sizes as recorded."""
    runs = _with_layers(_runs(recording), stretch)
    return None if runs is None else _written(recording, runs, stretch)


def _with_layers(runs: list[Run], stretch: Stretch) -> list[Run] | None:
    """The runs with every sweep made longer; None where a middle layer's run stands outside of one."""
    longer: list[Run] = []
    position = 0
    while position < len(runs):
        run = runs[position]
        sweep = _sweep_at(runs, position, stretch)
        if run.block is None:
            longer.append(run)
            position += 1
        elif sweep:
            longer.extend(_longer(sweep, stretch))
            position += len(sweep)
        elif run.block % LAYERS != MIDDLE:
            longer.append(_moved(run, stretch.places(run.block)[0]))  # of an outer layer, counted from its end
            position += 1
        else:
            return None
    return longer


def _sweep_at(runs: list[Run], position: int, stretch: Stretch) -> list[Run]:
    """The runs from here that go through all layers, or those of one group, up or down; empty where none do."""
    groups = [range(start, start + LAYERS) for start in range(0, stretch.recorded, LAYERS)]
    for layers in (range(stretch.recorded), *groups):
        sweep = runs[position : position + len(layers)]
        if [run.block for run in sweep] in (list(layers), list(reversed(layers))):
            return sweep
    return []


def _longer(sweep: list[Run], stretch: Stretch) -> list[Run]:
    upwards = sweep[0].block == min(run.block for run in sweep if run.block is not None)
    made = []
    for run in sweep:
        assert run.block is not None
        places = stretch.places(run.block)
        made += [_moved(run, place) for place in (places if upwards else reversed(places))]
    return made


def _moved(run: Run, place: int) -> Run:
    """The run as that of another layer; the layers that it names move along."""
    assert run.block is not None
    shift = place - run.block
    items = [item if isinstance(item, str) or item[1][0] is None else _shifted(item, shift) for item in run.items]
    return Run(place, tuple(items))


def _shifted(item: tuple[int, Name], shift: int) -> Item:
    sign, (block, number) = item
    assert block is not None
    return sign, (block + shift, number)


# Writing


def _written(recording: Recording, runs: Sequence[Run], stretch: Stretch) -> Recording | None:
    """The runs as a recording; None where a storage would die that was not born."""
    originals = {name: number for number, name in enumerate(_names(recording))}
    source_of = [stretch.source(place) for place in range(stretch.layers)]
    numbers: dict[Name, int] = {}
    sources: list[int] = []
    events: list[int] = []
    marks: list[tuple[int, str]] = []
    for run in runs:
        for item in run.items:
            if isinstance(item, str):
                marks.append((len(events), item if run.block is None else f"{item}/{run.block}"))
                continue
            sign, name = item
            if sign > 0:
                block, number = name
                sources.append(originals[None if block is None else source_of[block], number])
                numbers[name] = len(sources)
            elif name not in numbers:
                return None
            events.append(sign * numbers[name])
    added = sum(stretch.extra)
    return Recording(
        blocks=stretch.layers,
        nbytes=tuple(recording.nbytes[source] for source in sources),
        kinds=tuple(recording.kinds[source] for source in sources),
        kind_names=recording.kind_names,
        block_of=tuple(name[0] for name in numbers),
        events=tuple(events),
        marks=(*marks, (len(events), recording.marks[-1][1])),
        parameters=recording.parameters + added * recording.layer_parameters,
        trainable_parameters=recording.trainable_parameters + added * recording.layer_trainable_parameters,
        layer_parameters=recording.layer_parameters,
        layer_trainable_parameters=recording.layer_trainable_parameters,
    )
