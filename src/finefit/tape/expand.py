"""A few layers stand for many, event by event.

A recording of a model with five equal layers is cut into runs: events while a layer runs, or of storages that belong to
one (the optimizer goes through all layers without running any). Runs that go through the layers in order, up or down,
form a sweep. To have more layers, the middle run of every sweep is repeated; the first two and the last two stay, since
they may differ (the first layer's input is the embedding's, the last one's output feeds the loss). A storage is named
by its layer and its number among that layer's storages, and a run names other layers by their distance. Outside of
sweeps only storages of the outer layers may be named, counted from their end.

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
"""Of a recording that can be expanded: two at either end, and one that is repeated."""
MIDDLE = 2

Name = tuple[int | None, int]
"""A storage: its layer (None: of no layer), and its number among that layer's storages, in the order of births."""

Item = tuple[int, Name] | str
"""(+1 birth or -1 death, storage), or the label of a mark."""


@dataclass(frozen=True)
class Run:
    """Items that belong together: of one layer, or of none."""

    block: int | None
    items: tuple[Item, ...]


def expand(few: Recording, more: Recording, layers: int) -> Recording | None:
    """The recording of `layers` equal layers, from those of 5 and 6; None where they have no such form."""
    assert (few.blocks, more.blocks) == (LAYERS, LAYERS + 1)
    if layers < LAYERS:
        return None
    expected = _expanded(few, LAYERS + 1)
    if expected is None or _events(expected) != _events(more):
        return None
    growth = [after - before for before, after in zip(expected.nbytes, _in_order(expected, more), strict=True)]
    if any(growth[number] for number, block in enumerate(expected.block_of) if block is not None):
        return None
    expanded = _expanded(few, layers)
    return None if expanded is None else _grown(expanded, expected, growth, layers - LAYERS)


def storages_and_events(recording: Recording) -> tuple[dict[Name, int], list[Item]]:
    """Every storage with its bytes, and every event; equal for two recordings of the same history.

    Deaths with no birth between them are in one order, whichever they came in.
    """
    return dict(zip(_names(recording), recording.nbytes, strict=True)), _events(recording)


def _events(recording: Recording) -> list[Item]:
    return [item for run in _runs(recording) for item in run.items]


def _in_order(expected: Recording, recorded: Recording) -> list[int]:
    """The sizes that were recorded, in the order of the expected storages."""
    sizes = dict(zip(_names(recorded), recorded.nbytes, strict=True))
    return [sizes[name] for name in _names(expected)]


def _grown(expanded: Recording, expected: Recording, growth: list[int], extra: int) -> Recording:
    """Storages of no layer, each as much larger as `extra` layers make it; `growth` is that of one."""
    by_name = {name: growth[number] for number, name in enumerate(_names(expected)) if name[0] is None}
    nbytes = [size + extra * by_name.get(name, 0) for name, size in zip(_names(expanded), expanded.nbytes, strict=True)]
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


def _expanded(recording: Recording, layers: int) -> Recording | None:
    """As it is with more layers, all sizes as recorded."""
    runs = _with_layers(_runs(recording), layers)
    return None if runs is None else _written(recording, runs, layers)


def _with_layers(runs: list[Run], layers: int) -> list[Run] | None:
    """The runs with every sweep made longer; None where some run of a layer is in no sweep."""
    longer: list[Run] = []
    position = 0
    while position < len(runs):
        sweep = runs[position : position + LAYERS]
        blocks = [run.block for run in sweep]
        if runs[position].block is None:
            longer.append(runs[position])
            position += 1
        elif blocks in (UP, DOWN):
            longer.extend(_longer(sweep, layers))
            position += LAYERS
        elif runs[position].block != MIDDLE:
            longer.append(_from_the_end(runs[position], layers))
            position += 1
        else:
            return None
    return longer


UP = list(range(LAYERS))
DOWN = UP[::-1]


def _longer(sweep: list[Run], layers: int) -> list[Run]:
    extra = layers - LAYERS
    made = []
    for run in sweep:
        assert run.block is not None
        if run.block == MIDDLE:
            places = range(MIDDLE, MIDDLE + extra + 1)
            ordered = places if sweep[0].block == 0 else reversed(places)
            made += [_moved(run, place) for place in ordered]
        else:
            made.append(_moved(run, run.block if run.block < MIDDLE else run.block + extra))
    return made


def _from_the_end(run: Run, layers: int) -> Run:
    """Items of an outer layer that stand alone: not of a layer that runs, but of its storages."""
    assert run.block is not None
    return _moved(run, run.block if run.block < MIDDLE else run.block + layers - LAYERS)


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


def _written(recording: Recording, runs: Sequence[Run], layers: int) -> Recording | None:
    """The runs as a recording; None where a storage would die that was not born."""
    originals = {name: number for number, name in enumerate(_names(recording))}
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
                sources.append(originals[_template(name, layers)])
                numbers[name] = len(sources)
            elif name not in numbers:
                return None
            events.append(sign * numbers[name])
    return Recording(
        blocks=layers,
        nbytes=tuple(recording.nbytes[source] for source in sources),
        kinds=tuple(recording.kinds[source] for source in sources),
        kind_names=recording.kind_names,
        block_of=tuple(name[0] for name in numbers),
        events=tuple(events),
        marks=(*marks, (len(events), recording.marks[-1][1])),
        parameters=recording.parameters + (layers - LAYERS) * recording.layer_parameters,
        trainable_parameters=recording.trainable_parameters + (layers - LAYERS) * recording.layer_trainable_parameters,
        layer_parameters=recording.layer_parameters,
        layer_trainable_parameters=recording.layer_trainable_parameters,
    )


def _template(name: Name, layers: int) -> Name:
    """The recorded storage that this one is like."""
    block, number = name
    if block is None or block <= MIDDLE:
        return name
    extra = layers - LAYERS
    return (max(MIDDLE, block - extra), number)
