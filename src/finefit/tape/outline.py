"""The digest of a tape at a point, in about a millisecond: for those who ask about hundreds of points.

The recording of all layers is laid out once; equal segments (the same work of the same layer, step after step) are one,
and so are storages of one kind and size. At a point, each of them is counted once. It equals the digest of the
recording that `History.at` gives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate

from finefit.nouns.recording import Recording

from .born import Born, part_of
from .digest import Height, Loaded, is_loaded
from .layers import Layers
from .micro_batches import further_batches, with_micro_batches
from .peaks import CUDA_BLOCK_BYTES, Held, Kind, segments
from .tape import FROZEN, TRAINED, History

Walk = tuple[int, ...]
"""The events of a segment: +c for a birth and -c for a death of a storage of column c, counted from 1."""
Counts = Sequence[tuple[int, int]]
"""Columns, and how many storages of each."""
Births = Sequence[tuple[Kind, int, Counts]]
"""Of each kind, how many in all, and in which columns."""


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
        self._columns, columns_of_few = history.columns
        # in the place of its bytes, each storage has the number of the recorded one
        column_of = list(map(columns_of_few.__getitem__, whole.nbytes))
        self._further = {} if is_single else _set_apart(further_batches(whole), column_of, len(self._columns))
        self.kinds = tuple(
            whole.kind_names[self._columns[column - 1][0]]
            for column in (*range(1, len(self._columns) + 1), *self._further)
        )
        self.column_of = tuple(column_of)
        self.walks, self.order = _walks(whole, column_of)
        births = _births(whole, column_of)
        self.births = {part: self._by_kind(counts) for part, counts in births.items()}
        found = Counter(column_of).items()
        self.loaded = tuple((column, count) for column, count in found if is_loaded(self.kinds[column - 1]))

    def _by_kind(self, counts: Counts) -> Births:
        found: dict[Kind, list[tuple[int, int]]] = {}
        for column, count in counts:
            found.setdefault(self.kinds[column - 1], []).append((column, count))
        return [(kind, sum(count for _, count in each), each) for kind, each in found.items()]

    def at(self, numbers: Sequence[int], asked: Asked) -> Outlined:
        """`numbers`: of the history at a point."""
        growths = list(zip(self._times, self._history.growths_at(numbers), strict=True))
        sizes = [0, *(numbers[row] for _, row, _ in self._columns)]
        for column, (_, _, name) in enumerate(self._columns, start=1):
            if name is not None:
                sizes[column] += sum(more * growth.nbytes.get(name, 0) for more, growth in growths)
            if asked.cublas_bytes is not None and _is_cublas(self.kinds[column - 1]):
                sizes[column] = asked.cublas_bytes
        sizes += [sizes[column] * (asked.micro_batches - 1) for column in self._further]
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
            kind: Held(sum([count * sizes[column] for column, count in counts]), total)
            for kind, total, counts in births
        }

    @cached_property
    def loaded(self) -> Sequence[Loaded]:
        return [(self.outline.kinds[column - 1], self.sizes[column], count) for column, count in self.outline.loaded]

    @cached_property
    def recording(self) -> Recording:
        return replace(
            self.outline.whole,
            nbytes=tuple(map(self.sizes.__getitem__, self.outline.column_of)),
            parameters=self.frozen + self.trained,
            trainable_parameters=self.trained,
        )


def _set_apart(numbers: Collection[int], column_of: list[int], count: int) -> dict[int, int]:
    """Gives storages columns of their own, after the `count` that there are; by the old column the new one."""
    apart: dict[int, int] = {}
    for number in sorted(numbers):
        old = column_of[number - 1]
        column_of[number - 1] = apart.setdefault(old, count + len(apart) + 1)
    return apart


def _is_cublas(kind: Kind) -> bool:
    return (kind[0], kind[3]) == ("workspace", "cublas")


def _walks(whole: Recording, column_of: Sequence[int]) -> tuple[tuple[Walk, ...], tuple[tuple[str, int], ...]]:
    """Those that there are, and which of them each segment is."""
    walks: dict[Walk, int] = {}
    order = []
    signed = [0, *column_of, *(-column for column in reversed(column_of))]
    for segment in segments(whole):
        walk = tuple(map(signed.__getitem__, whole.events[segment.start : segment.stop]))
        order.append((segment.label, walks.setdefault(walk, len(walks))))
    return tuple(walks), tuple(order)


def _births(whole: Recording, column_of: Sequence[int]) -> dict[str, Counts]:
    """Of each part of a step, as `born` has them."""
    counts: dict[str, Counter[int]] = {}
    for segment in segments(whole):
        part = part_of(segment.label)
        if part is not None:
            born = [event - 1 for event in whole.events[segment.start : segment.stop] if event > 0]
            counts.setdefault(part, Counter()).update(map(column_of.__getitem__, born))
    return {part: tuple(counted.items()) for part, counted in counts.items()}


def _heights(order: Sequence[tuple[str, int]], walked: Sequence[tuple[int, int]]) -> Iterator[Height]:
    live = 0
    for label, number in order:
        height, left = walked[number]
        yield label, live + height
        live += left
