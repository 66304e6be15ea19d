"""Rows that share a sequence: which do, whether they may, what an estimate supposes of them, and what it gains.

Knows: lengths of rows, packed as TRL packs them. Does not know: what rows of a step that has others teach.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from finefit.catalog.attention import APART
from finefit.errors import BadInput, Problem
from finefit.nouns.job import Job
from finefit.nouns.knobs import Knobs
from finefit.nouns.model import Model

if TYPE_CHECKING:
    from finefit.nouns.workload import Lengths

TOGETHER = 1000
"""Rows that are packed at a time, in the order of their file: the default batch of datasets' `map` (5.2), which TRL
(1.16) leaves as it is."""


@lru_cache(maxsize=4)
def packed(tokens: tuple[int, ...], length: int) -> tuple[tuple[int, ...], ...]:
    """The rows of each sequence, by their tokens: best-fit-decreasing (trl/data_utils.py, `_pack_bfd`)."""
    parts = (tokens[start : start + TOGETHER] for start in range(0, len(tokens), TOGETHER))
    return tuple(tuple(sequence) for part in parts for sequence in _fitted(part, length))


def _fitted(tokens: Sequence[int], length: int) -> list[list[int]]:
    """The longest first, each where the least room is left that it fits in."""
    sequences: list[list[int]] = []
    rooms: list[tuple[int, int]] = []
    # what is left, and of which sequence
    for count in sorted(tokens, reverse=True):
        place = bisect_left(rooms, (count, 0))
        room, number = rooms.pop(place) if place < len(rooms) else (length, len(sequences))
        if number == len(sequences):
            sequences.append([])
        sequences[number].append(count)
        if room > count:
            insort(rooms, (room - count, number))
    return sequences


def mixes(model: Model) -> bool:
    """Whether rows of one sequence may see each other."""
    return model.config.get("model_type") not in APART


def refuse_mixed(model: Model) -> None:
    """Raises `BadInput` where rows of one sequence may see each other."""
    if mixes(model):
        why = "rows that share a sequence were not seen to stay apart in it"
        what = f"{model.config.get('model_type')} is not packed"
        raise BadInput(Problem(what, where="packing", why=why, hint="leave it out"))


def ways(job: Job, model: Model, lengths: Lengths | None) -> list[Job]:
    """Of a job that leaves packing to the plan, one with it and one without: one without alone, where nothing is known
    of its rows, or they would see each other. Rows that are not packed are as long as the longest."""
    if lengths is None or not job.max_length:
        return [replace(job, packing=job.packing is True)]
    apart = replace(job, packing=False, max_length=min(job.max_length, lengths.longest))
    together = replace(job, packing=True)
    if job.packing == "auto":
        return [apart] if mixes(model) else [apart, together]
    return [together if job.packing else apart]


def supposed_of(knobs: Knobs) -> tuple[str, ...]:
    """What an estimate supposes."""
    if not knobs.packing:
        return ()
    full = f"every micro-batch is full: one sequence of {knobs.length:,} tokens, of several rows"
    return (f"{full}; attention has a mask, and is computed between all of them, also where rows are kept apart",)
