"""The digest of a tape at a point, in about a millisecond: for those who ask about hundreds of points.

A tape's history is taken apart into walks, the events between two marks of a run (`runs.py`), once for all numbers of
layers: equal ones are one, and so are storages of one kind and size. For a model's layers only the order of walks is
made; at a point, each is walked once. It equals the digest of the recording that `History.at` gives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate

from finefit.nouns.recording import Recording

from .born import Born, part_of
from .digest import Height, Loaded, is_loaded
from .layers import Layers
from .micro_batches import as_first, further_batches, is_second, of_second, with_micro_batches
from .peaks import CUDA_BLOCK_BYTES, Held, Kind
from .runs import Run, Stretch
from .tape import FROZEN, TRAINED, History
from .turns import is_turn, without_turns

Walk = tuple[int, ...]
"""Events: +c for a birth and -c for a death of a storage of column c, counted from 1."""
Walked = tuple[str | None, int]
"""As a part of a run is, with its walk's number in the place of its events."""
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


class Outlines:
    """Of one history, for any layers. `is_single`: with one micro-batch, and not as recorded."""

    def __init__(self, history: History, *, is_single: bool = False) -> None:
        self.history, self.is_single = history, is_single
        self.columns, columns_of_few = history.columns
        recorded, column_of = without_turns(history.few), list(columns_of_few)
        gone = of_second(recorded) if is_single else set()
        self.further = {} if is_single else _set_apart(further_batches(recorded), column_of, len(self.columns))
        names, columns = recorded.kind_names, (*range(1, len(self.columns) + 1), *self.further)
        self.kinds = tuple(names[self.columns[column - 1][0]] for column in columns)
        self.column_of = tuple(column_of)
        # of each recorded storage
        kept = [0 if number in gone else column for number, column in enumerate(column_of, start=1)]
        self._signed = [0, *kept, *(-column for column in reversed(kept))]
        # the column that an event of the recording is of; 0: of none
        self.walks: list[Walk] = []
        # by their numbers; further layers may have more
        self._numbers: dict[Walk, int] = {}
        self._walked: dict[tuple[int, tuple[int, ...]], Sequence[Walked]] = {}
        self._named: dict[int, tuple[int, ...]] = {}
        self._births: dict[int, Counter[int]] = {}

    def of(self, layers: Layers) -> Outline:
        """Raises `ValueError` where the recorded layers do not stand for these."""
        times, stretched = self.history.times(layers), Stretch(self.history.layers, layers)
        runs, sources = stretched.runs(self.history.numbered), stretched.sources
        if times is None or runs is None or sources is None:
            raise ValueError(f"{self.history.layers} do not stand for {layers}")
        walked = ((self._label(label, run), walk) for run in runs for label, walk in self._of_run(run, sources))
        return Outline(self, layers, times, tuple(_segments(walked)))

    def _label(self, label: str | None, run: Run) -> str | None:
        """Of the segment that begins there."""
        if label is None or is_turn(label) or (self.is_single and is_second(label)):
            return None
        label = label if run.block is None else f"{label}/{run.block}"
        return as_first(label) if self.is_single else label

    def _of_run(self, run: Run, sources: Sequence[int]) -> Sequence[Walked]:
        """The same wherever the layers that it names have the same sources."""
        named = self._names(run)
        standing = tuple(sources[block + run.shift] for block in named)
        key = id(run.parts), standing  # parts are kept by the history
        if key not in self._walked:
            moved = {} if standing == named else dict(zip(named, standing, strict=True))
            self._walked[key] = [(label, self._number(self._walk(events, moved))) for label, events in run.parts]
        return self._walked[key]

    def _names(self, run: Run) -> tuple[int, ...]:
        """The layers whose storages it names, before they moved."""
        key = id(run.parts)
        if key not in self._named:
            block_of = self.history.few.block_of
            blocks = {block_of[abs(event) - 1] for _, events in run.parts for event in events}
            self._named[key] = tuple(sorted(block for block in blocks if block is not None))
        return self._named[key]

    def _walk(self, events: Iterable[int], moved: Mapping[int, int]) -> Walk:
        """`moved`: the layers that stand for others."""
        if moved:
            events = [self._standing(event, moved) for event in events]
        return tuple(filter(None, map(self._signed.__getitem__, events)))

    def _standing(self, event: int, moved: Mapping[int, int]) -> int:
        block, number = self.history.numbered.names[abs(event) - 1]
        if block is None:
            return event
        storage = self.history.numbered.numbers[moved[block]][number] + 1
        return storage if event > 0 else -storage

    def _number(self, walk: Walk) -> int:
        if walk not in self._numbers:
            self._numbers[walk] = len(self.walks)
            self.walks.append(walk)
        return self._numbers[walk]

    def births(self, walk: int) -> Mapping[int, int]:
        """How many of each column."""
        if walk not in self._births:
            self._births[walk] = Counter(column for column in self.walks[walk] if column > 0)
        return self._births[walk]


class Outline:
    """Of one history and a model's layers."""

    def __init__(
        self, of: Outlines, layers: Layers, times: Sequence[int], order: Sequence[tuple[str, Sequence[int]]]
    ) -> None:
        self._of, self._layers, self._times = of, layers, times
        self.order = order
        # of all segments, and their walks
        self.walks = tuple(of.walks)
        self.kinds = of.kinds
        counts: dict[str | None, Counter[int]] = {}
        for label, walks in order:
            counts.setdefault(part_of(label), Counter()).update(walks)
        born = {part: self._born(walks) for part, walks in counts.items()}
        self.births = {part: self._by_kind(columns) for part, columns in born.items() if part is not None}
        self.loaded = [
            (column, count)
            for column, count in sum(born.values(), Counter()).items()
            if is_loaded(self.kinds[column - 1])
        ]

    def _born(self, walks: Mapping[int, int]) -> Counter[int]:
        """Columns."""
        found: Counter[int] = Counter()
        for walk, times in walks.items():
            for column, count in self._of.births(walk).items():
                found[column] += times * count
        return found

    def _by_kind(self, columns: Mapping[int, int]) -> Births:
        found: dict[Kind, list[tuple[int, int]]] = {}
        for column, count in columns.items():
            found.setdefault(self.kinds[column - 1], []).append((column, count))
        return [(kind, sum(count for _, count in each), each) for kind, each in found.items()]

    def at(self, numbers: Sequence[int], asked: Asked) -> Outlined:
        """`numbers`: of the history at a point."""
        growths = list(zip(self._times, self._of.history.growths_at(numbers), strict=True))
        sizes = [0, *(numbers[row] for _, row, _ in self._of.columns)]
        for column, (_, _, name) in enumerate(self._of.columns, start=1):
            if name is not None:
                sizes[column] += sum(more * growth.nbytes.get(name, 0) for more, growth in growths)
            if asked.cublas_bytes is not None and _is_cublas(self.kinds[column - 1]):
                sizes[column] = asked.cublas_bytes
        sizes += [sizes[column] * (asked.micro_batches - 1) for column in self._of.further]
        return Outlined(
            self,
            tuple(sizes),
            frozen=numbers[FROZEN] + sum(more * growth.frozen_parameters for more, growth in growths),
            trained=numbers[TRAINED] + sum(more * growth.trainable_parameters for more, growth in growths),
        )

    @cached_property
    def whole(self) -> Recording:
        """In the place of its bytes, each storage has its column."""
        whole = self._of.history.laid_out(self._layers)
        assert whole is not None, "what has runs is written"
        whole = with_micro_batches(whole, 1) if self._of.is_single else whole
        return replace(whole, nbytes=tuple(map(self._of.column_of.__getitem__, whole.nbytes)))


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
            nbytes=tuple(map(self.sizes.__getitem__, self.outline.whole.nbytes)),
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


def _segments(walked: Iterable[Walked]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Each with its walks."""
    segment: str | None = None
    walks: list[int] = []
    for label, walk in walked:
        if label is not None:
            if segment is not None:
                yield segment, tuple(walks)
            segment, walks = label, []
        walks.append(walk)
    if segment is not None:
        yield segment, tuple(walks)


def _heights(order: Sequence[tuple[str, Sequence[int]]], walked: Sequence[tuple[int, int]]) -> Iterator[Height]:
    live = 0
    for label, walks in order:
        highest = live
        for walk in walks:
            height, left = walked[walk]
            highest = max(highest, live + height)
            live += left
        yield label, highest
