"""A run's own rows: what its micro-batches take, each at its length, in the order in which the run meets them.

Knows: the bytes of every storage at a few lengths, which were rehearsed; at others, what lies on the parabola through
these (nothing in a step grows faster than with the square of the length).
Does not know: steps that are other ones because they are short. They are replayed as the longest one would be with rows
of that length. Nor what kernels round up, nor that another micro-batch trains another share of its tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from finefit.nouns.recording import Recording
from finefit.nouns.schedule import Step
from finefit.tape.schedule import Played, of_schedule

Sizes = Sequence[int]
"""Of all storages of a recording."""


@dataclass(frozen=True)
class Rows:
    steps: tuple[Step, ...]
    # those that reserved memory depends on
    known: Mapping[int, Sizes]
    # at the lengths that were rehearsed, the longest among them

    @property
    def micro_batches(self) -> int:
        return sum(len(step.micro_batches) for step in self.steps)

    @property
    def is_known(self) -> bool:
        """Whether more than the longest row is, or no other is asked for."""
        return len(self.known) > 1 or all(
            each.length in self.known for step in self.steps for each in step.micro_batches
        )

    def sizes(self, length: int) -> Sizes:
        if length in self.known:
            return self.known[length]
        if length not in self._met:
            values = {row: _between(self._lengths, row, length) for row in set(self._rows)}
            self._met[length] = [values[row] for row in self._rows]
        return self._met[length]

    @cached_property
    def _lengths(self) -> tuple[int, ...]:
        return tuple(self.known)

    @cached_property
    def _rows(self) -> list[tuple[int, ...]]:
        """Of each storage, its bytes at every known length."""
        return list(zip(*self.known.values(), strict=True))

    @cached_property
    def _met(self) -> dict[int, Sizes]:
        return {}


def of_run(recording: Recording, rows: Rows) -> Recording | None:
    """The recorded steps with the run's rows; None where they cannot follow each other, or are not known."""
    if not rows.is_known or not rows.steps:
        return None
    steps = [
        Played(tuple(rows.sizes(each.length) for each in step.micro_batches), step.empties_cache) for step in rows.steps
    ]
    return of_schedule(recording, steps)


def _between(lengths: Sequence[int], sizes: Sequence[int], length: int) -> int:
    """On the curve through all that is known (Lagrange's polynomial), and no larger than the largest."""
    value = 0.0
    for place, size in enumerate(sizes):
        weight = 1.0
        for other, known in enumerate(lengths):
            if other != place:
                weight *= (length - known) / (lengths[place] - known)
        value += weight * size
    return max(0, min(round(value), max(sizes)))
