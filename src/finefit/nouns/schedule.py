"""The micro-batches of a run, in the order in which it meets them, and the few of them that reserved memory depends on.

The allocator keeps what it has, so what a run reserves grows only where a micro-batch finds no block that is large
enough. Until the cache is emptied that is where one is longer than all before it: counted for itself where it is the
first of its step, since it finds the place of all gradients free, which later ones find taken. Between such records the
same blocks serve again.

Knows: rows of one run on one GPU. Does not know: what small tensors of the other micro-batches add (at most `REST`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

MOST = 80
"""Micro-batches that are chosen of a run: of 80 layers they are replayed in four seconds (an eighth of a second for a
step of two, `benchmarks/allocator_replay.py`)."""


@dataclass(frozen=True)
class MicroBatch:
    rows: int
    length: int
    # of the longest row, to which the others are padded
    tokens: int
    # of the rows, without padding

    @property
    def is_padded(self) -> bool:
        return self.tokens < self.rows * self.length


@dataclass(frozen=True)
class Step:
    micro_batches: tuple[MicroBatch, ...]
    empties_cache: bool = False
    # before it begins: the run has evaluated or saved, and gave back what nothing used

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Step:
        return cls(tuple(MicroBatch(*each) for each in data["micro_batches"]), data["empties_cache"])

    def as_json(self) -> dict[str, Any]:
        told = [[each.rows, each.length, each.tokens] for each in self.micro_batches]
        return {"micro_batches": told, "empties_cache": self.empties_cache}


def chosen(steps: Iterable[Step]) -> list[Step]:
    """The steps that matter, and of each the micro-batches that do. Where they are more than `MOST`, whole spans from
    one emptying of the cache to the next are left out: those whose longest row is shortest, and never the first."""
    spans = _spans(steps)
    by_length = sorted(range(1, len(spans)), key=lambda place: -_longest(spans[place]))
    order = [*range(len(spans))[:1], *by_length]
    counts = accumulate(sum(len(step.micro_batches) for step in spans[place]) for place in order)
    kept = [place for place, count in zip(order, counts, strict=True) if count <= MOST or place == 0]
    return [step for place in sorted(kept) for step in spans[place]]


def _spans(steps: Iterable[Step]) -> list[list[Step]]:
    spans: list[list[Step]] = []
    longest = (0, 0)
    for step in steps:
        if step.empties_cache or not spans:
            spans.append([])
            longest = (0, 0)
        kept, longest = _records(step.micro_batches, longest)
        if kept:
            spans[-1].append(Step(kept, step.empties_cache))
    return spans


def _records(given: Sequence[MicroBatch], longest: tuple[int, int]) -> tuple[tuple[MicroBatch, ...], tuple[int, int]]:
    """Those that are longer than all before them in their place; and the longest so far, first in a step and later in
    one. A step's first one goes before its records: gradients stay where it puts them."""
    first, later = longest
    opening, *others = given
    kept = []
    for each in others:
        if each.length > later:
            later = each.length
            kept.append(each)
    is_record = opening.length > first
    return ((opening, *kept) if kept or is_record else (), (max(first, opening.length), later))


def _longest(span: Sequence[Step]) -> int:
    return max(each.length for step in span for each in step.micro_batches)
