"""A tape: one recipe's step at any micro-batch, length and number of layers, from a few recordings.

Recordings of one recipe at several points (B, S) tell one history where the same storages are born and die in the same
order; then only sizes differ, and `sizes.py` knows them between the points. Where kernels change (one row alone, a
length that is no multiple of 16, a sliding window exceeded), it may be another history, and a tape has several. A point
is answered only where each of its conditions was met by a recorded point of one history; else it must be rehearsed.

Does not know: a kernel that changes only where two conditions come together that no recorded point met together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property

from finefit.nouns.recording import Recording

from .expand import Growth, proof_of, storages_and_events, stretch
from .layers import Layers, times
from .peaks import Kind, without_layer
from .runs import Cut, Name
from .sizes import Formulas, Point, formulas_of, rulers_at, value_at
from .turns import with_turns_like

TRUSTED_FROM = 3
"""Points of one history: a formula has at most two unknowns, and must be right at one point more."""


Conditions = tuple[bool, ...]
"""Each met, or not, by a point."""


@dataclass(frozen=True)
class Bounds:
    """Beyond which values a recipe's kernels may change, and what else its sizes depend on."""

    lengths: tuple[int, ...] = ()
    # a sliding window, or the length from which positions are scaled otherwise
    tokens: tuple[int, ...] = ()
    # of a micro-batch
    widths: tuple[int, ...] = ()
    # of matrices with adapters

    def conditions(self, point: Point) -> Conditions:
        return (
            point.batch == 1,
            point.length % 16 == 0,
            point.chunks > 1,
            point.chunks > 2,
            *(point.length > bound for bound in self.lengths),
            *(point.tokens > bound for bound in self.tokens),
        )


FROZEN, TRAINED = -2, -1
"""Parameters of both kinds are counted after all rows of bytes; with adapters they depend on the rank, as sizes do."""

Row = tuple[int, ...]
"""One number at each point of a history."""
Column = tuple[int, int, Name | None]
"""Storages of one kind and size at every point: the kind, the row, and the name where they are larger with more
layers."""


@dataclass(frozen=True)
class History:
    """The same births and deaths at several points."""

    few: Recording
    # a few layers, or the whole model; as at the first point
    layers: Layers
    # that were recorded
    growths: tuple[Growth, ...]
    # one for each unit that the model repeats; none where all of it was recorded
    points: tuple[Point, ...]
    rows: tuple[Row, ...]
    # bytes, each combination once
    row_of: tuple[int, ...]
    # per storage, which row it has
    counts: tuple[Row, ...]
    # of parameters: frozen ones, and trained ones
    widths: tuple[int, ...] = ()
    # as in Bounds

    @cached_property
    def formulas(self) -> tuple[Formulas, ...] | None:
        """Of the rows, then of the counts; None where one has none, or what grows with the layers has more than one
        ruler and is not all in them."""
        if len(self.points) < TRUSTED_FROM:
            return None
        found = formulas_of((*self.rows, *self.counts), self.points, self.widths)
        if found is None:
            return None
        rows = [*(row for _, row in self._growing.values()), FROZEN] if self.growths else []
        rows += [TRAINED] if self.growths and not self._trains_layers_alone else []
        return None if any(formula.ruler is None for row in rows for formula in found[row]) else found

    @property
    def _trains_layers_alone(self) -> bool:
        """The same number in each: then a layer's part is one of so many, also where DoRA's trained lengths have
        another ruler than its matrices."""
        trained = {(growth.trainable_parameters, len(growth.unit)) for growth in self.growths}
        if len(trained) != 1:
            return False
        each, layers = trained.pop()
        return each * len(self.layers) == self.counts[TRAINED][0] * layers

    @cached_property
    def _growing(self) -> dict[Name, tuple[int, int]]:
        """The number, from 0, and the row of each storage that is larger with more layers."""
        growing = {name for growth in self.growths for name in growth.nbytes}
        names = self.numbered.names if growing else []
        return {name: (number, self.row_of[number]) for number, name in enumerate(names) if name in growing}

    @cached_property
    def columns(self) -> tuple[tuple[Column, ...], tuple[int, ...]]:
        """Those that there are, and per storage which it belongs to, counted from 1."""
        growing = {number: name for name, (number, _) in self._growing.items()}
        columns: dict[Column, int] = {}
        of = zip(self.few.kinds, self.row_of, map(growing.get, range(len(self.row_of))), strict=True)
        column_of = tuple(columns.setdefault(column, len(columns) + 1) for column in of)
        return tuple(columns), column_of

    @cached_property
    def numbered(self) -> Cut:
        """In the place of its bytes, each storage has its own number."""
        return Cut(replace(self.few, nbytes=tuple(range(len(self.row_of)))))

    def growths_at(self, numbers: Sequence[int]) -> tuple[Growth, ...]:
        """Where rows and counts have these numbers: what grows has one ruler, or is all in layers that are alike, so
        its growth is as much larger as itself is."""

        def scaled(growth: int, row: int) -> int:
            first = (*self.rows, *self.counts)[row][0]
            return growth * numbers[row] // first if first else 0

        return tuple(
            Growth(
                growth.unit,
                {name: scaled(nbytes, self._growing[name][1]) for name, nbytes in growth.nbytes.items()},
                scaled(growth.frozen_parameters, FROZEN),
                scaled(growth.trainable_parameters, TRAINED),
            )
            for growth in self.growths
        )

    def numbers(self, point: Point) -> tuple[int, ...] | None:
        """Rows and counts at a point: as recorded where it was, else by their formulas; None where one is not known."""
        if point in self.points:
            place = self.points.index(point)
            return tuple(row[place] for row in (*self.rows, *self.counts))
        if self.formulas is None:
            return None
        values = rulers_at(point, self.widths)
        found = [value_at(formulas, values) for formulas in self.formulas]
        known = tuple(number for number in found if number is not None)
        return known if len(known) == len(found) else None

    def tells(self, few: Recording) -> bool:
        """Whether these are the births and deaths of it."""
        told = with_turns_like(self.few, few, self.layers)
        return storages_and_events(self.few)[1] == storages_and_events(told)[1]

    def at(self, point: Point, layers: Layers) -> Recording | None:
        """Of a whole model; None where a size is not known there, or these layers do not stand for its own."""
        numbers, whole, count = self.numbers(point), self.laid_out(layers), self.times(layers)
        if numbers is None or whole is None or count is None:
            return None
        sizes = [numbers[row] for row in self.row_of]
        frozen, trained = numbers[FROZEN], numbers[TRAINED]
        for more, growth in zip(count, self.growths_at(numbers), strict=True):
            for name, nbytes in growth.nbytes.items():
                sizes[self._growing[name][0]] += more * nbytes
            frozen += more * growth.frozen_parameters
            trained += more * growth.trainable_parameters
        return replace(
            whole,
            nbytes=tuple(map(sizes.__getitem__, whole.nbytes)),
            parameters=frozen + trained,
            trainable_parameters=trained,
        )

    def times(self, layers: Layers) -> tuple[int, ...] | None:
        """How many more of each unit a model has than was recorded; None where it differs in more than that."""
        return times(self.layers, layers, [growth.unit for growth in self.growths])

    def laid_out(self, layers: Layers) -> Recording | None:
        """All layers, for sizes of any point: in the place of its bytes, each storage has the number of the recorded
        one that it is like."""
        if layers not in self._layouts:
            nothing = [Growth(growth.unit, {}, 0, 0) for growth in self.growths]
            self._layouts[layers] = stretch(self.numbered, self.layers, nothing, layers)
        return self._layouts[layers]

    @cached_property
    def _layouts(self) -> dict[Layers, Recording | None]:
        return {}


@dataclass(frozen=True)
class Tape:
    histories: tuple[History, ...]
    bounds: Bounds
    stack: Mapping[str, str]
    # versions that it was recorded with

    def at(self, point: Point, layers: Layers) -> Recording | None:
        """The recording of a whole model at a point; None where it must be rehearsed."""
        history = self.history_at(point)
        return None if history is None else history.at(point, layers)

    def history_at(self, point: Point) -> History | None:
        """None where none tells of this point, or where two could."""
        telling = self._telling(point)
        return telling[0] if len(telling) == 1 else None

    def knows(self, point: Point) -> bool:
        """One tells of it, and is sure there; of the sizes of a history that has too few points it is not."""
        history = self.history_at(point)
        return history is not None and (history.formulas is not None or point in history.points)

    def is_told(self, point: Point) -> bool:
        """Or under its conditions there are two histories, and more points would not part them."""
        conditions = self.bounds.conditions(point)
        return self.history_at(point) is not None or any(conditions in met for met in self._met)

    def _telling(self, point: Point) -> list[History]:
        """Those that have this point, else those recorded under all of its conditions, else under each of them."""
        conditions = self.bounds.conditions(point)
        return (
            [history for history in self.histories if point in history.points]
            or [history for history, met in zip(self.histories, self._met, strict=True) if conditions in met]
            or [history for history, met in zip(self.histories, self._met, strict=True) if _are_met(conditions, met)]
        )

    @cached_property
    def _met(self) -> tuple[Set[Conditions], ...]:
        """By each history's points."""
        return tuple({self.bounds.conditions(point) for point in history.points} for history in self.histories)

    def with_take(self, take: Take) -> Tape:
        """With what was recorded at one more point. A take of no known history whose layers do not extend, is lost."""
        few = without_layer_numbers(take.few)
        for place, history in enumerate(self.histories):
            if history.layers == take.layers[0] and history.tells(few):
                told = _longer(history, take.point, few) if take.point not in history.points else history
                return replace(self, histories=(*self.histories[:place], told, *self.histories[place + 1 :]))
        more = map(without_layer_numbers, take.more)
        proof = proof_of((few, *more), take.layers) if take.more or take.is_whole else None
        if proof is None:
            return self
        told = History(proof.few, take.layers[0], proof.growths, (), (), (), (), self.bounds.widths)
        return replace(self, histories=(*self.histories, _longer(told, take.point, few)))


@dataclass(frozen=True)
class Take:
    """What was recorded at one point: a few layers, and one more of each unit where it was asked for."""

    point: Point
    layers: tuple[Layers, ...]
    # of each recording
    few: Recording
    more: tuple[Recording, ...] = ()
    is_whole: bool = False
    # all layers, in `few`


def _are_met(conditions: Conditions, met: Set[Conditions]) -> bool:
    """Each of them, by any."""
    return all(asked in seen for asked, seen in zip(conditions, zip(*met, strict=True), strict=True))


def _longer(history: History, point: Point, few: Recording) -> History:
    """With the sizes of one more point."""
    before = [history.rows[row] for row in history.row_of] or [()] * len(few.nbytes)
    sizes = [(*row, nbytes) for row, nbytes in zip(before, few.nbytes, strict=True)]
    places: dict[Row, int] = {}
    row_of = tuple(places.setdefault(row, len(places)) for row in sizes)
    counts = history.counts or ((), ())
    frozen, trained = few.parameters - few.trainable_parameters, few.trainable_parameters
    counts = tuple((*row, count) for row, count in zip(counts, (frozen, trained), strict=True))
    return replace(history, points=(*history.points, point), rows=tuple(places), row_of=row_of, counts=counts)


def without_layer_numbers(recording: Recording) -> Recording:
    """Kinds whose modules differ in nothing but the layer's number are one."""
    numbers: dict[Kind, int] = {}
    kinds = [numbers.setdefault(without_layer(name), len(numbers)) for name in recording.kind_names]
    return replace(recording, kind_names=tuple(numbers), kinds=tuple(kinds[kind] for kind in recording.kinds))
