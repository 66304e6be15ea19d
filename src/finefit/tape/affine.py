"""What a step takes with any number of layers, checkpointed or kept, from a few layers and one more of each.

Every storage that a layer leaves behind has one size, so what is alive at a place of the step (the loss, the backward
of the first checkpointed layer, of the last one) is a straight line in how many layers of each part there are; the peak
is the highest of these lines. That costs as much as a few layers do, for all numbers of layers together. Equals the
peaks of the whole recording (`peaks.py`); models whose layers are of several kinds have no such lines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from .digest import Digest
from .layers import Layers

SHOWN = 2
"""Layers from either end of a part, whose places are lines of their own; between them it is as between their ends."""

Place = tuple[str, str, int]
"""A segment's label without its layer, the layer's part, and its number there, from the end where it is negative."""


@dataclass(frozen=True)
class Few:
    """A step of a few layers, and of one more of each part that has any."""

    layers: Layers
    base: Digest
    more: Mapping[str, Digest]
    # by the letter of what there is one more of

    @property
    def letters(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.layers))


@dataclass(frozen=True)
class Lines:
    """Bytes at each place of a few layers, and what one more layer of each part adds."""

    counts: Mapping[str, int]
    base: Mapping[Place, int]
    slopes: Mapping[str, Mapping[Place, int]]

    def peak(self, counts: Mapping[str, int]) -> int:
        """With so many layers of each part."""
        return max(self.peaks(counts).values())

    def peaks(self, counts: Mapping[str, int]) -> dict[str, int]:
        """Of each phase, as the marks have it."""
        more = [(self.slopes[letter], counts[letter] - count) for letter, count in self.counts.items()]
        found: dict[str, int] = {}
        for phase, places in self._by_phase.items():
            heights = [self.base[place] for place in places]
            for slopes, number in more:
                heights = [height + number * slopes[place] for height, place in zip(heights, places, strict=True)]
            found[phase] = max(heights)
        return found

    @cached_property
    def _by_phase(self) -> Mapping[str, Sequence[Place]]:
        places: dict[str, list[Place]] = {}
        for place in self.base:
            places.setdefault(place[0].split("/")[2], []).append(place)
        return places


def lines_of(few: Few) -> Lines | None:
    """None where more layers are no more of the same places."""
    base = _places(few.base, few.layers)
    slopes = {}
    for letter, digest in few.more.items():
        longer = _places(digest, few.layers.replace(letter, letter * 2, 1))
        if longer.keys() != base.keys():
            return None
        slopes[letter] = {place: longer[place] - nbytes for place, nbytes in base.items()}
    counts = {letter: few.layers.count(letter) for letter in few.more}
    return Lines(counts, base, slopes)


def _places(digest: Digest, layers: Layers) -> dict[Place, int]:
    found: dict[Place, int] = {}
    for label, nbytes in digest.heights:
        place = _place(label, layers)
        if place is not None:
            found[place] = max(found.get(place, 0), nbytes)
    return found


@lru_cache(maxsize=4096)
def _place(label: str, layers: Layers) -> Place | None:
    """None for layers between the ends."""
    step, micro, phase, *block = label.split("/")
    name = f"{step}/{micro}/{phase}"
    if not block:
        return name, "", 0
    number = int(block[0])
    part = layers[number]
    first, count = layers.index(part), layers.count(part)
    here = number - first
    if here < SHOWN:
        return name, part, here
    return (name, part, here - count) if here >= count - SHOWN else None
