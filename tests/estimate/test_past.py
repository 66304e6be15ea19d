"""Predictions that finished runs on the same card correct."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from statistics import mean, median

import pytest
from published_kit.speed_rows import expressible
from published_kit.speeds import read

from finefit.catalog.rates import rates_of
from finefit.estimate.pace.pace import pace_of, step_seconds, work_of
from finefit.estimate.pace.past import KEPT, correction, seen, words
from finefit.estimate.pace.setup import Setup
from finefit.estimate.pace.spread import SPREADS, spread_of
from finefit.nouns.engine import DDP
from finefit.nouns.knobs import Knobs
from finefit.nouns.method import LoRA
from finefit.nouns.model import Model

from ..conftest import CONFIG, Rehearsed

A100 = rates_of("A100 SXM4 80GB")


def test_without_runs_nothing_is_corrected() -> None:
    """And with runs that met their predictions neither."""
    assert correction(()) == 1.0
    assert correction((1.0, 1.0, 1.0)) == 1.0


@pytest.mark.parametrize("ratio", [0.5, 0.9, 1.1, 2.0])
def test_more_runs_that_agree_correct_more(ratio: float) -> None:
    """Never beyond what they took, and slower and faster alike."""
    corrections = [abs(correction((ratio,) * count) - 1) for count in range(1, KEPT + 1)]
    assert corrections == sorted(corrections)
    assert 0 < corrections[0] < corrections[-1] < abs(ratio - 1)
    assert correction((ratio,)) * correction((1 / ratio,)) == pytest.approx(1)


def test_one_odd_run_among_others_changes_little_and_old_ones_are_forgotten() -> None:
    """The median of the last ones counts."""
    assert correction((1.1, 1.1, 30.0)) == correction((1.1, 1.1, 1.1))
    assert correction((30.0,) * 50 + (1.1,) * KEPT) == correction((1.1,) * KEPT)


def test_a_corrected_step_is_its_shares_and_says_why(rehearsed: Rehearsed) -> None:
    """With and without words; what a run is held against is not corrected, or corrections would pile up."""
    rates = replace(A100, ratios=(1.08, 1.09, 1.07))
    plain, setup = (Setup(Model("small", CONFIG), LoRA(), Knobs(max_length=256), one) for one in (A100, rates))
    work = work_of(rehearsed("lora", 256), setup, CONFIG["num_hidden_layers"])
    pace, before = pace_of(work, setup), pace_of(work, plain)
    assert pace.step_seconds == pytest.approx(before.step_seconds * correction(rates.ratios))
    assert step_seconds(work, setup) == pytest.approx(pace.step_seconds)
    assert pace.plain_seconds == pytest.approx(before.step_seconds)
    assert pace.low < pace.step_seconds < pace.high
    assert pace.shares[-1].why == words(rates.ratios)
    assert pace.shares[-1].why.startswith("runs on this GPU took 1.08× of the predicted time, 3 runs")
    assert before.shares == pace.shares[:-1]


def test_enough_runs_tell_their_own_interval() -> None:
    """Of 19 that are alike the next lies between the least and the most nine times in ten; fewer tell none."""
    tight = tuple(1.1 + 0.002 * number for number in range(KEPT))
    assert seen(tight[1:]) is None
    assert seen(tight) == (tight[0], tight[-1])
    own, few = (spread_of(50, None, replace(A100, ratios=ratios)) for ratios in (tight, tight[1:]))
    assert few == SPREADS[0]
    assert own.slower < few.slower
    assert own.faster < few.faster


@pytest.mark.parametrize("engine", [None, DDP(4)])
def test_runs_never_make_an_interval_wider(engine: DDP | None) -> None:
    """However far from each other they lie."""
    wild = tuple(1.5**number for number in range(-9, 10))
    found, catalogue = (spread_of(2, engine, replace(A100, ratios=ratios)) for ratios in (wild, ()))
    assert found.faster <= catalogue.faster
    assert found.slower <= catalogue.slower


DRAWS = 200


def error(count: int, by: Callable[[Sequence[float]], float]) -> float:
    """Of published rows in the mean, each corrected by so many others of its card, drawn again and again."""
    drawn, stock = Random(0), {row.id for row in expressible() if row.fit == "yes"}
    rows = [(one.gpu, one.predicted / one.measured) for name, one in read().items() if name in stock]
    found = []
    for number, (gpu, took) in enumerate(rows):
        others = [ratio for other, (card, ratio) in enumerate(rows) if card == gpu and other != number]
        if len(others) >= count:
            found += [abs(took / by(drawn.sample(others, count)) - 1) for _ in range(DRAWS)]
    return mean(found)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 9])
def test_published_rows_are_met_better_with_a_correction(count: int) -> None:
    """By other recipes on the card. Were a single run's ratio taken whole, they would be met worse than without."""
    assert error(count, correction) < error(count, lambda _: 1.0)
    assert count > 1 or error(count, median) > error(count, lambda _: 1.0)
