"""Which points the grid has: not every combination, but every pair of two knobs' values, `TIMES` times over.

Beside them, the everyday recipe of every model, and a small grid of what a machine without TRL and bitsandbytes can
measure too. Deterministic: the same points in the same order on every machine. Greedy, so not the fewest possible.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import combinations
from typing import Any

from .points import LEVELS, SEEING, Point, is_sensible

TIMES = 3
CANDIDATES = 200
"""Random points that each choice is made among."""
SEED = 20
ALL = tuple(LEVELS.items())

Pair = tuple[tuple[str, Any], tuple[str, Any]]


PLAIN: dict[str, tuple[Any, ...]] = {
    "method": ("full", "lora"),
    "rows": ("whole",),
    "optim": ("adamw_torch_fused", "adamw_torch"),
    "loss": ("full",),
}
"""What transformers, torch and PEFT do alone."""


@cache
def all_points() -> tuple[Point, ...]:
    """Every point once: the grid, the everyday recipes, the plain grid, and what is beyond."""
    return tuple(dict.fromkeys([*grid(), *everyday(), *grid(1, tuple((LEVELS | PLAIN).items())), *beyond()]))


def everyday() -> list[Point]:
    """The recipe that most people start with, each model by another method."""
    methods = LEVELS["method"]
    return [
        Point(
            model=model,
            method=methods[place % len(methods)],
            attention="sdpa",
            checkpointed="all",
            length=1024,
            rows="whole",
            precision="bf16-amp",
            optim="adamw_torch_fused",
            loss="fused",
            accumulation=1,
            expandable=False,
        )
        for place, model in enumerate(LEVELS["model"])
    ]


def beyond() -> list[Point]:
    """Preferences, images and answers: the everyday recipe, and others."""
    plain = everyday()[0]
    smaller = {"precision": "bf16", "checkpointed": "none", "length": 512}
    writes = replace(plain, rows="answers", precision="bf16", checkpointed="none")
    pairs = [("qwen2.5-0.5b", "lora"), ("llama-3.2-1b", "qlora4"), ("qwen2.5-1.5b", "full")]
    return [
        *(replace(plain, model=model, method=method, rows="preferences") for model, method in pairs),
        replace(plain, model="qwen2.5-0.5b", method="full", rows="preferences", **smaller),
        *(replace(plain, model=SEEING, method=method, rows="images") for method in ("lora", "qlora4", "full")),
        replace(plain, model=SEEING, method="lora", rows="images", **smaller),
        *(replace(writes, model=model, method=method) for model, method in (*pairs, ("mistral-7b-v0.1", "lora"))),
        replace(writes, model="llama-3.2-1b", method="full", precision="fp32", attention="eager", length=512),
    ]


@cache
def grid(times: int = TIMES, levels: tuple[tuple[str, tuple[Any, ...]], ...] = ALL) -> tuple[Point, ...]:
    """In the order of choosing: what comes first covers most."""
    dice = random.Random(SEED)
    choice = dict(levels)
    wanted = Counter(dict.fromkeys(possible_pairs(choice), times))
    chosen: list[Point] = []
    while wanted:
        best = max(_candidates(dice, wanted, choice), key=lambda point: _gain(point, wanted))
        if best in chosen:
            continue
        chosen.append(best)
        wanted.subtract(pairs_of(best))
        wanted = +wanted
    return tuple(chosen)


def pairs_of(point: Point) -> Iterator[Pair]:
    """Every two knobs with the point's values."""
    yield from combinations(point.knobs.items(), 2)


def possible_pairs(levels: dict[str, tuple[Any, ...]]) -> Iterator[Pair]:
    """Pairs of values that some sensible point has."""
    for one, other in combinations(levels, 2):
        for value in levels[one]:
            for another in levels[other]:
                if _completed({one: value, other: another}, random.Random(SEED), levels) is not None:
                    yield (one, value), (other, another)


def _candidates(dice: random.Random, wanted: Counter[Pair], levels: dict[str, tuple[Any, ...]]) -> list[Point]:
    """Each has one of the pairs that are wanted most, so that the search always goes on."""
    most = max(wanted.values())
    rare = [pair for pair, times in wanted.items() if times == most]
    found = [_completed(dict(dice.choice(rare)), dice, levels) for _ in range(CANDIDATES)]
    return [point for point in found if point is not None]


def _completed(fixed: dict[str, Any], dice: random.Random, levels: dict[str, tuple[Any, ...]]) -> Point | None:
    """A sensible point with these values; None where none is found."""
    for _ in range(50):
        point = Point(**{name: fixed.get(name, dice.choice(values)) for name, values in levels.items()})
        if is_sensible(point):
            return point
    return None


def _gain(point: Point, wanted: Counter[Pair]) -> int:
    return sum(wanted[pair] for pair in pairs_of(point) if pair in wanted)
