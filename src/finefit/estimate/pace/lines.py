"""The work of a step with any number of layers, checkpointed or kept, from a few layers and one more of each.

What a layer does takes as long wherever it stands, so everything that is added up is a straight line in how many layers
of each part there are (`tape/affine.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from finefit.tape.affine import Few

from .pace import Effort, Work, effort_of, work_on
from .setup import Setup

Sums = TypeVar("Sums")


@dataclass(frozen=True)
class WorkLines:
    counts: Mapping[str, int]
    base: Work
    more: Mapping[str, Work]

    def work(self, counts: Mapping[str, int]) -> Work:
        """With so many layers of each part."""
        found = self.base
        for letter, longer in self.more.items():
            found = _further(found, self.base, longer, counts[letter] - self.counts[letter])
        return found


@dataclass(frozen=True)
class EffortLines:
    """The same before a card does it: products are no straight lines there, since each takes as long as the slower of
    two things."""

    counts: Mapping[str, int]
    base: Effort
    more: Mapping[str, Effort]

    def on(self, setup: Setup) -> WorkLines:
        more = {letter: work_on(effort, setup) for letter, effort in self.more.items()}
        return WorkLines(self.counts, work_on(self.base, setup), more)


def effort_lines(few: Few, setup: Setup) -> EffortLines:
    """`setup`: on any card that computes in the same types."""
    count = len(few.layers)
    more = {letter: effort_of(digest, setup, count + 1) for letter, digest in few.more.items()}
    counts = {letter: few.layers.count(letter) for letter in few.more}
    return EffortLines(counts, effort_of(few.base, setup, count), more)


def work_lines(few: Few, setup: Setup) -> WorkLines:
    return effort_lines(few, setup).on(setup)


def _further(start: Sums, base: Sums, longer: Sums, number: int) -> Sums:
    """`start`, and `number` times what the longer has more than the base, field by field."""
    changed: dict[str, Any] = {}
    for field in fields(start):  # type: ignore[arg-type]
        first, one, other = (getattr(each, field.name) for each in (start, base, longer))
        if isinstance(first, int | float):
            changed[field.name] = first + number * (other - one)
        else:
            changed[field.name] = _further(first, one, other, number)
    return replace(start, **changed)  # type: ignore[type-var]
