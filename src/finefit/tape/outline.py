"""The digest of a tape at a point, in about a millisecond: for those who ask about hundreds of points.

The recording of all layers is laid out once; equal segments (the same work of the same layer, step after step) are one,
and so are storages of one kind and size. At a point, each of them is counted once. It equals the digest of the
recording that `History.at` gives.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate

from finefit.nouns.recording import Recording

from .born import Born, part_of
from .digest import Height, Loaded, is_loaded
from .expand import Name, storages_and_events
from .layers import Layers
from .micro_batches import further_batches, with_micro_batches
from .peaks import CUDA_BLOCK_BYTES, Held, Kind, segments
from .tape import FROZEN, TRAINED, History

ANY: Name = (None, -1)
"""No storage's name: of those that do not grow with the layers, size is all that counts."""
FURTHER, CUBLAS = "further batches", "cublas"
"""Storages whose size goes by something else than the point: how many micro-batches wait, and the card."""
Column = tuple[int, Name, str]
"""Storages of one size at every point: their row, their name, and what else it goes by."""
Walk = tuple[int, ...]
"""The events of a segment: +c for a birth and -c for a death of a storage of column c, counted from 1."""
Births = Mapping[Kind, Sequence[tuple[int, int]]]
"""Of each kind, columns and how many."""


@dataclass(frozen=True)
class Asked:
    """What sizes go by besides the point."""

    micro_batches: int = 2
    cublas_bytes: int | None = None
    # its workspace; None: as recorded


class Outline:
    """Of one history and a model's layers. `is_single`: with one micro-batch, and not as recorded. Raises `ValueError`
    where the recorded layers do not stand for these."""

    def __init__(self, history: History, layers: Layers, *, is_single: bool = False) -> None:
        whole, times = history.laid_out(layers), history.times(layers)
        if whole is None or times is None:
            raise ValueError(f"{history.layers} do not stand for {layers}")
        self._history, self._times = history, times
        self.whole = whole = with_micro_batches(whole, 1) if is_single else whole
        columns: dict[Column, int] = {}
        found = _columns(history, whole, is_single)
        self.column_of = column_of = tuple(columns.setdefault(column, len(columns) + 1) for column in found)
        self._columns = tuple(columns)
        self.walks, self.order = _walks(whole, column_of)
        self.births = _births(whole, column_of)
        loaded = Counter(zip(whole.kinds, column_of, strict=True))
        named = ((whole.kind_names[kind], column, count) for (kind, column), count in loaded.items())
        self.loaded = tuple(one for one in named if is_loaded(one[0]))

    def at(self, numbers: Sequence[int], asked: Asked) -> Outlined:
        """`numbers`: of the history at a point."""
        growths = list(zip(self._times, self._history.growths_at(numbers), strict=True))
        sizes = [0]
        for row, name, special in self._columns:
            added = sum(more * growth.nbytes.get(name, 0) for more, growth in growths)
            sizes.append(_special(numbers[row] + added, special, asked))
        return Outlined(
            self,
            tuple(sizes),
            frozen=numbers[FROZEN] + sum(more * growth.frozen_parameters for more, growth in growths),
            trained=numbers[TRAINED] + sum(more * growth.trainable_parameters for more, growth in growths),
        )


@dataclass(frozen=True)
class Outlined:
    """A digest at a point."""

    outline: Outline
    sizes: tuple[int, ...]
    # of each column, counted from 1
    frozen: int
    trained: int

    @cached_property
    def heights(self) -> Sequence[Height]:
        blocks = [-(-size // CUDA_BLOCK_BYTES) * CUDA_BLOCK_BYTES for size in self.sizes]
        # what a birth adds and a death takes, by column: the list is read from its end for deaths
        changes = [*blocks, *(-size for size in reversed(blocks[1:]))]
        walked = []
        for walk in self.outline.walks:
            heights = [0, *accumulate(map(changes.__getitem__, walk))]
            walked.append((max(heights), heights[-1]))
        return list(_heights(self.outline.order, walked))

    @cached_property
    def born(self) -> Mapping[str, Born]:
        return {part: self._held(births) for part, births in self.outline.births.items()}

    def _held(self, births: Births) -> Born:
        sizes = self.sizes
        return {
            kind: Held(sum(sizes[column] * count for column, count in found), sum(count for _, count in found))
            for kind, found in births.items()
        }

    @cached_property
    def loaded(self) -> Sequence[Loaded]:
        return [(kind, self.sizes[column], count) for kind, column, count in self.outline.loaded]

    @cached_property
    def recording(self) -> Recording:
        return replace(
            self.outline.whole,
            nbytes=tuple(map(self.sizes.__getitem__, self.outline.column_of)),
            parameters=self.frozen + self.trained,
            trainable_parameters=self.trained,
        )


def _columns(history: History, whole: Recording, is_single: bool) -> Iterator[Column]:
    """Of each storage; `whole` has in the place of its bytes the number of the recorded one."""
    names = list(storages_and_events(history.few)[0])
    growing = {name for growth in history.growths for name in growth.nbytes}
    further = set() if is_single else further_batches(whole)
    cublas = {kind for kind, name in enumerate(whole.kind_names) if name[0] == "workspace" and name[3] == "cublas"}
    for number, (source, kind) in enumerate(zip(whole.nbytes, whole.kinds, strict=True), start=1):
        name = names[source] if names[source] in growing else ANY
        special = FURTHER if number in further else CUBLAS if kind in cublas else ""
        yield history.row_of[source], name, special


def _special(nbytes: int, special: str, asked: Asked) -> int:
    if special == CUBLAS and asked.cublas_bytes is not None:
        return asked.cublas_bytes
    return nbytes * (asked.micro_batches - 1) if special == FURTHER else nbytes


def _walks(whole: Recording, column_of: Sequence[int]) -> tuple[tuple[Walk, ...], tuple[tuple[str, int], ...]]:
    """Those that there are, and which of them each segment is."""
    walks: dict[Walk, int] = {}
    order = []
    signed = [0, *column_of, *(-column for column in reversed(column_of))]
    for segment in segments(whole):
        walk = tuple(map(signed.__getitem__, whole.events[segment.start : segment.stop]))
        order.append((segment.label, walks.setdefault(walk, len(walks))))
    return tuple(walks), tuple(order)


def _births(whole: Recording, column_of: Sequence[int]) -> dict[str, Births]:
    """Of each part of a step, as `born` has them."""
    counts: dict[str, Counter[tuple[int, int]]] = {}
    for segment in segments(whole):
        part = part_of(segment.label)
        if part is not None:
            born = [event - 1 for event in whole.events[segment.start : segment.stop] if event > 0]
            counts.setdefault(part, Counter()).update((whole.kinds[number], column_of[number]) for number in born)
    found: dict[str, Births] = {}
    for part, counted in counts.items():
        by_kind: dict[Kind, list[tuple[int, int]]] = defaultdict(list)
        for (kind, column), count in counted.items():
            by_kind[whole.kind_names[kind]].append((column, count))
        found[part] = dict(by_kind)
    return found


def _heights(order: Sequence[tuple[str, int]], walked: Sequence[tuple[int, int]]) -> Iterator[Height]:
    live = 0
    for label, number in order:
        height, left = walked[number]
        yield label, live + height
        live += left
