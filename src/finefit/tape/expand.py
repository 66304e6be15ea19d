"""A few layers stand for many, event by event.

The runs of a recording of a few layers are made to go through all layers of the whole model (`runs.py`), and written as
a recording.

Nothing is assumed: a model is trusted only where the few, expanded to one more of what the model repeats, equal a
recording of that: the same births and deaths in the same order, and the same sizes but for storages of no layer, which
may grow with the layers along a line (the list of all gradients' norms does). What does not fall into sweeps, also not
where loops through the layers outside of them are taken for such (`turns.py`), gives None.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from finefit.nouns.recording import Recording

from .layers import Layers, times
from .runs import Cut, Name, Run, Stretch
from .turns import with_turns, without_turns

Item = tuple[int, Name] | str
"""(+1 birth or -1 death, storage), or the label of a mark."""


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
    if expected is None:
        return None
    (before, expected_events), (after, events) = storages_and_events(expected), storages_and_events(more)
    if expected_events != events:
        return None
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
    cut = Cut(recording)
    return dict(zip(cut.names, recording.nbytes, strict=True)), list(_items(cut))


def _items(cut: Cut) -> Iterator[Item]:
    names = cut.names
    for run in cut.runs:
        for label, events in run.parts:
            yield from () if label is None else (label,)
            yield from ((1 if event > 0 else -1, names[abs(event) - 1]) for event in events)


def _grown(expanded: Recording, growths: Sequence[Growth], more: Sequence[int]) -> Recording:
    """Parameters, and storages of no layer, each as much larger as the added layers make it."""
    added = list(zip(growths, more, strict=True))
    larger: Counter[Name] = Counter()
    for growth, number in added:
        larger.update({name: number * nbytes for name, nbytes in growth.nbytes.items()})
    nbytes = expanded.nbytes
    if larger:
        nbytes = tuple(size + larger[name] for name, size in zip(Cut(expanded).names, nbytes, strict=True))
    frozen = sum(number * growth.frozen_parameters for growth, number in added)
    trained = sum(number * growth.trainable_parameters for growth, number in added)
    return replace(
        expanded,
        nbytes=nbytes,
        parameters=expanded.parameters + frozen + trained,
        trainable_parameters=expanded.trainable_parameters + trained,
    )


# Expanding


def _expanded(few: Cut, stretch: Stretch) -> Recording | None:
    """As it is with more layers, all sizes as recorded."""
    assert few.recording.blocks == len(stretch.few)
    runs, sources = stretch.runs(few), stretch.sources
    return None if runs is None or sources is None else _written(few, runs, sources)


# Writing


def _written(few: Cut, runs: Sequence[Run], source_of: Sequence[int]) -> Recording | None:
    """The runs as a recording; None where a storage would die that is not alive."""
    recording, names, originals = few.recording, few.names, few.numbers
    alive: defaultdict[int | None, dict[int, int]] = defaultdict(dict)
    originals_of: list[int] = []
    block_of: list[int | None] = []
    events: list[int] = []
    marks: list[tuple[int, str]] = []
    for run in runs:
        shift = run.shift
        for label, happened in run.parts:
            if label is not None:
                marks.append((len(events), label if run.block is None else f"{label}/{run.block}"))
            for event in happened:
                block, number = names[abs(event) - 1]
                place = None if block is None else block + shift
                if event > 0:
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
