"""How far times may be off, against what was published."""

from __future__ import annotations

import pytest
from published_kit.speed_rows import expressible
from published_kit.speeds import SpeedResult, read

from finefit.estimate.pace.spread import SPREADS, Spread

STOCK = {row.id for row in expressible() if row.fit == "yes"}
COLDEST = 0.45
"""Of the rows where the processor sets the pace: so many are slower still, each a step that loads its kernels."""


def rows_of(spread: Spread) -> list[SpeedResult]:
    below = min((one.busy_from for one in SPREADS if one.busy_from > spread.busy_from), default=float("inf"))
    return [one for name, one in read().items() if name in STOCK and spread.busy_from <= one.busy < below]


@pytest.mark.parametrize("spread", SPREADS, ids=lambda spread: f"from {spread.busy_from}")
def test_nine_of_ten_published_steps_lie_within_the_spread(spread: Spread) -> None:
    """But for a few cold ones where kernels are short."""
    found = rows_of(spread)
    assert len(found) == spread.rows
    ratios = [one.predicted / one.measured - 1 for one in found]
    inside = sum(-spread.faster <= ratio <= spread.slower for ratio in ratios)
    assert inside >= (0.9 if spread.busy_from else 1 - COLDEST) * len(found)


def test_the_median_error_of_stock_runs_is_under_15_percent() -> None:
    errors = sorted(abs(one.error_percent) for name, one in read().items() if name in STOCK)
    assert errors[len(errors) // 2] < 15
