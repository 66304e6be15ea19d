"""The spread of published runs around our figures."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest

from finefit.estimate.trust import SPREADS, device_of, method_reason, spread_of
from finefit.nouns.knobs import Knobs
from finefit.nouns.range import Range, Reason, around
from finefit.units import GIB

PUBLISHED = Path(__file__).parents[2] / "validation" / "published"


def ratios() -> dict[str, list[tuple[float, str]]]:
    """Reserved memory, measured over predicted, by kind of attention; and the row's id."""
    results = json.loads((PUBLISHED / "results.json").read_text())["rows"]
    found: dict[str, list[tuple[float, str]]] = {kind: [] for kind in SPREADS}
    for row in csv.DictReader((PUBLISHED / "single_gpu.csv").open()):
        result = results.get(row["id"])
        if result and result["measured_reserved_gib"]:
            kind = "eager" if row["attn_implementation"] == "eager" else "fused"
            found[kind].append((result["measured_reserved_gib"] / result["reserved_gib"], row["id"]))
    return {kind: sorted(values) for kind, values in found.items()}


@pytest.mark.parametrize("kind", list(SPREADS))
def test_the_spread_is_that_of_the_published_rows(kind: str) -> None:
    """The rows of results.json just outside of the 5th and the 95th percentile, rounded up to a tenth of a percent."""
    values, spread = [ratio for ratio, _ in ratios()[kind]], SPREADS[kind]
    last = len(values) - 1
    low, high = values[math.floor(0.05 * last)], values[math.ceil(0.95 * last)]
    assert spread.rows == len(values)
    assert 0 <= spread.below - (1 - low) <= 0.001
    assert 0 <= spread.above - (high - 1) <= 0.001


def test_nine_of_ten_published_runs_lie_inside() -> None:
    """Of all rows, and of the T4's; whatever rows of changing length could add is not counted."""
    inside = []
    for kind, values in ratios().items():
        spread = spread_of(kind)
        inside += [(1 - spread.below <= ratio <= 1 + spread.above, name) for ratio, name in values]
    for rows in (inside, [(is_in, name) for is_in, name in inside if name.startswith("FITC")]):
        assert sum(is_in for is_in, _ in rows) >= 0.9 * len(rows)


def test_reserved_is_never_foreseen_under_what_is_allocated() -> None:
    """The method's error ends where tensors begin."""
    knobs = Knobs(max_length=1, attn_implementation="eager")
    assert method_reason(100 * GIB, 99 * GIB, knobs).below_bytes == GIB
    assert method_reason(100 * GIB, 0, knobs).below_bytes > GIB


def test_the_device_has_the_reasons_of_both() -> None:
    """Reserved and context add up, low, typical and high alike."""
    reserved = around(100, [Reason("a", 10, 20, "measured", "x")])
    context = around(7, [Reason("b", 1, 2, "guessed", "y")])
    assert device_of(reserved, context) == Range(96, 107, 129, (*reserved.reasons, *context.reasons))
