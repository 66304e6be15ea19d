"""Which layers a model has, which of them a recording keeps, and which recorded one stands for each.

A layer is one letter: `a` for the first kind of the model, `b` for the next, a capital where it is checkpointed. What a
layer does may depend on the two on either side of it (the first one's input is the embedding's, the last one's output
feeds the loss), so it is known where a recorded layer has the same kind and the same neighbours.

Most models repeat one layer; some a few (five of a sliding window, one of full attention), perhaps after layers of
their own (dense ones before the experts). What is repeated is cut to as few times as show every neighbourhood, of a
kind's first layer and of a later one: what a kind's layers share dies in the backward of the first of them. Does not
know what only a kind's last layer would do; a proof, whose added layers are between, would fail.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest

Layers = str
"""One letter a layer."""

REACH = 2
"""Neighbours on either side that may matter."""
ENDLESSLY = 10**9
LONGEST_PERIOD = 8
"""Layers after which a model may repeat itself."""


Kept = tuple[int, ...]
"""The layers of a model that a recording keeps, by their numbers."""


def kept_of(layers: Layers, kept: Kept) -> Layers:
    return "".join(layers[place] for place in kept)


def neighbourhoods(layers: Layers) -> list[str]:
    """Of each layer: itself between its neighbours."""
    edged = "^" * REACH + layers + "$" * REACH
    return [edged[place : place + 2 * REACH + 1] for place in range(len(layers))]


def sources(few: Layers, whole: Layers) -> tuple[int, ...] | None:
    """The recorded layer that stands for each of the whole model's; None where one has no such. Of several, the one
    that is most like it."""
    known: dict[str, list[int]] = {}
    for block, here in enumerate(neighbourhoods(few)):
        known.setdefault(here, []).append(block)
    found = []
    for place, here in enumerate(neighbourhoods(whole)):
        blocks = known.get(here)
        if blocks is None:
            return None
        found.append(
            blocks[0] if len(blocks) == 1 else max(blocks, key=lambda block: _likeness(few, block, whole, place))
        )
    return tuple(found)


def _likeness(few: Layers, block: int, whole: Layers, place: int) -> tuple[bool, bool, int]:
    """Whether it has others of its kind before it where the other has, since what a kind's layers share dies in the
    backward of the first of them; and after it; and how many neighbours are alike on the side where fewer are."""
    letter = whole[place]
    earlier, later = few[:block], few[block + 1 :]
    return (
        (letter in earlier) == (letter in whole[:place]),
        (letter in later) == (letter in whole[place + 1 :]),
        min(_alike(reversed(earlier), reversed(whole[:place])), _alike(later, whole[place + 1 :])),
    )


def _alike(some: Iterable[str], others: Iterable[str]) -> int:
    """How many of the first are; all the way to the end of both, they are endlessly so."""
    pairs = list(zip_longest(some, others))
    return next((number for number, (one, other) in enumerate(pairs) if one != other), ENDLESSLY)


def times(few: Layers, whole: Layers, units: Sequence[Layers]) -> tuple[int, ...] | None:
    """How many more of each unit the whole has (fewer, where negative); None where that is not all the difference."""
    found = []
    missing = Counter(whole)
    missing.subtract(few)
    for unit in units:
        of_unit = Counter(unit)
        letter = unit[0]
        found.append(missing[letter] // of_unit[letter])
        for each, count in of_unit.items():
            missing[each] -= count * found[-1]
    return None if any(missing.values()) else tuple(found)


@lru_cache(maxsize=256)
def few_of(layers: Layers) -> tuple[Kept, ...]:
    """What is recorded of a model: as few layers as show all, and the same with one more of each unit that it repeats.
    Nothing, where that is no less than the whole."""
    shorter = [recorded for recorded in _cuts(layers.lower(), layers) if len(recorded[0]) < len(layers)]
    shorter.sort(key=lambda recorded: len(recorded[0]))
    return next((recorded for recorded in shorter if _all_told(recorded, layers)), ())


def _all_told(recorded: Sequence[Kept], layers: Layers) -> bool:
    """The whole model, and each proof."""
    few, *proofs = (kept_of(layers, kept) for kept in recorded)
    return all(_tells(few, longer) for longer in (layers, *proofs))


def _tells(few: Layers, whole: Layers) -> bool:
    """Whether each of the whole model's layers has one like it, that has others of its kind before it where it has."""
    found = sources(few, whole)
    return found is not None and all(
        (whole[place] in whole[:place]) == (few[block] in few[:block]) for place, block in enumerate(found)
    )


def _cuts(kinds: Layers, layers: Layers) -> Iterator[tuple[Kept, ...]]:
    """By every period that holds between some first and some last layers of their own."""
    for period in range(1, min(LONGEST_PERIOD, len(kinds) // 2) + 1):
        breaks = [place for place in range(len(kinds) - period) if kinds[place] != kinds[place + period]]
        if len(breaks) > LONGEST_PERIOD:
            continue
        for start, stop in zip((0, *(place + 1 for place in breaks)), (*breaks, len(kinds) - period), strict=True):
            for turns in range(2, 4):
                yield _cut(layers, start, stop + period, period, turns)


def _cut(layers: Layers, start: int, stop: int, period: int, turns: int) -> tuple[Kept, ...]:
    """`layers[start:stop]` repeats itself, its checkpointed part and its kept one."""
    middle = next((place for place in range(start, stop) if layers[place].islower()), stop)
    parts = [_Part(start, middle, period, turns), _Part(middle, stop, period, turns)]
    wanted = [(0, 0), *(more for part, more in zip(parts, ((1, 0), (0, 1)), strict=True) if part.is_cut)]
    before, after = range(start), range(stop, len(layers))
    return tuple((*before, *parts[0].kept(more), *parts[1].kept(other), *after) for more, other in wanted)


@dataclass(frozen=True)
class _Part:
    start: int
    stop: int
    period: int
    turns: int
    # of the kinds, at least

    @property
    def fewest(self) -> int:
        """A whole period between the neighbourhoods of both ends."""
        return max(2 * REACH + self.period, self.turns * self.period)

    @property
    def is_cut(self) -> bool:
        """A part that is one short of the fewest is told by what is longer."""
        return self.stop - self.start >= self.fewest - 1

    def kept(self, more: int) -> Sequence[int]:
        length = self.stop - self.start
        if not self.is_cut:
            return range(self.start, self.stop)
        shown = self.fewest + (length - self.fewest) % self.period + more * self.period
        beyond = [max(0, -(-(place + 1 - length) // self.period)) for place in range(shown)]
        return [self.start + place - periods * self.period for place, periods in enumerate(beyond)]
