"""Times that rest on what was measured on this machine."""

from __future__ import annotations

from dataclasses import replace

import pytest

from calibrated import usual
from finefit.catalog.measured import with_measured
from finefit.catalog.rates import Rates, rates_of
from finefit.estimate.pace.pace import Work, pace_of, step_seconds, work_of
from finefit.estimate.pace.setup import Setup
from finefit.estimate.pace.spread import SPREADS, spread_of
from finefit.nouns.engine import DDP
from finefit.nouns.knobs import Knobs
from finefit.nouns.method import LoRA
from finefit.nouns.model import Model
from finefit.nouns.pace import Pace

from ..conftest import CONFIG, Rehearsed

A100 = rates_of("A100 SXM4 80GB")
QUICK = replace(A100, forward_start=1e-12, backward_start=1e-12)
"""Whose processor is never waited for."""


def work(rehearsed: Rehearsed, rates: Rates) -> tuple[Work, Setup]:
    setup = Setup(Model("small", CONFIG), LoRA(), Knobs(max_length=256), rates)
    return work_of(rehearsed("lora", 256), setup, CONFIG["num_hidden_layers"]), setup


def paced(rehearsed: Rehearsed, rates: Rates) -> Pace:
    return pace_of(*work(rehearsed, rates))


def seconds(pace: Pace) -> dict[str, float]:
    return {share.what: share.seconds for share in pace.shares}


@pytest.mark.parametrize("rates", [A100, QUICK], ids=["a usual processor", "one that is never waited for"])
def test_a_twice_faster_device_makes_nothing_slower(rehearsed: Rehearsed, rates: Rates) -> None:
    """And products, attention and other kernels take half as long."""
    once, twice = (paced(rehearsed, with_measured(rates, usual(rates, faster))) for faster in (1, 2))
    before, after = seconds(once), seconds(twice)
    assert all(after[what] <= before[what] for what in before)
    assert twice.step_seconds < once.step_seconds
    for what in ("matrix products", "attention", "other kernels"):
        assert after[what] == pytest.approx(before[what] / 2)


def test_products_alone_being_faster_halves_a_step_of_products(rehearsed: Rehearsed) -> None:
    """Where memory and processor are never waited for."""
    bound = replace(QUICK, memory=1e18, half=1e9, float32=1e9)
    once, twice = (step_seconds(*work(rehearsed, with_measured(bound, usual(bound, faster)))) for faster in (1, 2))
    assert twice / once == pytest.approx(0.5, rel=0.01)


def test_a_device_as_its_row_says_takes_as_long(rehearsed: Rehearsed) -> None:
    """And the table says where the rates are from, and when."""
    catalogue, measured = paced(rehearsed, A100), paced(rehearsed, with_measured(A100, usual(A100)))
    assert measured.step_seconds == pytest.approx(catalogue.step_seconds)
    whys = {share.what: (share.basis, share.why) for share in measured.shares}
    for what in ("matrix products", "waiting for Python"):
        assert whys[what][0] == "measured"
        assert whys[what][1].endswith("measured on this machine on 2026-11-21")
    assert not any("this machine" in share.why for share in catalogue.shares)
    assert (measured.rates_measured, catalogue.rates_measured) == ("2026-11-21T14:03:22+00:00", "")


@pytest.mark.parametrize("engine", [None, DDP(4)])
@pytest.mark.parametrize("busy", [0.5, 3.9, 4, 7.9, 8, 50])
def test_a_measured_interval_lies_inside_the_catalogues(busy: float, engine: DDP | None) -> None:
    """Of a step whose kernels are as long; narrower where the processor nearly sets the pace, which was unknown."""
    catalogue, measured = (spread_of(busy, engine, rates) for rates in (A100, with_measured(A100, usual(A100))))
    assert measured.faster <= catalogue.faster
    assert measured.slower <= catalogue.slower
    assert (measured.slower < catalogue.slower) == (busy < SPREADS[0].busy_from)


def test_a_known_processor_makes_no_step_surer_than_kernels_of_a_tier_more() -> None:
    """Its time for a kernel depends on the recipe."""
    rates = with_measured(A100, usual(A100))
    assert [spread_of(spread.busy_from, None, rates) for spread in SPREADS] == [SPREADS[0], SPREADS[0], SPREADS[1]]
