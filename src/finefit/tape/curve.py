"""The live bytes of one optimizer step as a curve, by what they are: for drawing.

Knows the sizes of storages as they were recorded. Does not know the allocator's blocks, which are a little larger.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from finefit.nouns.recording import Recording

from .peaks import segments

STEP = "1/"
"""The second step: the first one lacks the optimizer's state."""
COLUMNS = 480


@dataclass(frozen=True)
class Column:
    """The fullest moment of a stretch of events."""

    phase: str
    position: int
    # the event after which so much was alive
    nbytes: tuple[int, ...]
    # of each category, in the order of the curve's

    @property
    def total(self) -> int:
        return sum(self.nbytes)


@dataclass(frozen=True)
class Curve:
    categories: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def peak(self) -> int:
        """The number of the highest column."""
        return max(range(len(self.columns)), key=lambda number: self.columns[number].total)


def curve_of(recording: Recording, columns: int = COLUMNS) -> Curve:
    """Of the second step. No maximum is lost: each column is the fullest moment of its stretch, of one phase."""
    categories = tuple(dict.fromkeys(name[0] for name in recording.kind_names))
    category_of = [categories.index(name[0]) for name in recording.kind_names]
    moments = list(_moments(recording, [category_of[kind] for kind in recording.kinds], len(categories)))
    width = -(-len(moments) // columns)
    return Curve(categories, tuple(_thinned(moments, width)))


def _moments(recording: Recording, category_of: Sequence[int], categories: int) -> Iterator[Column]:
    live = [0] * categories
    for segment in segments(recording):
        if segment.label.startswith(STEP) and segment.start < segment.stop:
            yield Column(segment.phase, segment.start - 1, tuple(live))  # what is alive as the segment begins
        for position in range(segment.start, segment.stop):
            event = recording.events[position]
            number = abs(event) - 1
            live[category_of[number]] += recording.nbytes[number] if event > 0 else -recording.nbytes[number]
            if segment.label.startswith(STEP):
                yield Column(segment.phase, position, tuple(live))


def _thinned(moments: Sequence[Column], width: int) -> Iterator[Column]:
    """The fullest of every so many, and never of two phases."""
    together: list[Column] = []
    for moment in moments:
        if together and (len(together) == width or together[0].phase != moment.phase):
            yield max(together, key=lambda column: column.total)
            together = []
        together.append(moment)
    if together:
        yield max(together, key=lambda column: column.total)
