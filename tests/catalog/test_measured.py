"""What was measured here, in the catalogue's quantities."""

from __future__ import annotations

from dataclasses import replace

import pytest

from calibrated import calibration, figure, usual
from finefit.catalog.gpus import gpu_named
from finefit.catalog.measured import COPIED, HOST_COPIED, PEER_COPIED, rates_on, with_measured
from finefit.catalog.rates import rates_of
from finefit.estimate.pace.links import peer
from finefit.nouns.calibration import Here
from finefit.nouns.machine import Gpu

A100 = gpu_named("A100-80GB")
RATES = rates_of(A100.name)
NAMES = ("memory", "half", "float32", "forward_start", "backward_start")


def test_nothing_measured_is_the_catalogue() -> None:
    """Nor does a calibration change what it has no figure of."""
    assert rates_on(A100) == RATES
    empty = with_measured(RATES, calibration())
    assert empty == replace(RATES, measured=empty.measured)


def test_a_device_that_does_as_its_row_says_gets_its_row_back() -> None:
    """A copy never reaches the data sheet's rate, and that is not counted twice."""
    found = with_measured(RATES, usual(RATES))
    assert [getattr(found, name) for name in NAMES] == pytest.approx([getattr(RATES, name) for name in NAMES])
    assert (found.half_basis, found.measured[:10]) == ("measured", "2026-11-21")


@pytest.mark.parametrize("name", NAMES)
def test_each_rate_is_the_one_that_was_measured(name: str) -> None:
    """Of a device that is twice as fast: rates double, and seconds to start a kernel halve."""
    found, factor = with_measured(RATES, usual(RATES, faster=2)), 0.5 if name.endswith("start") else 2
    assert getattr(found, name) == pytest.approx(factor * getattr(RATES, name))


def test_what_lasts_counts_before_what_was_fastest_for_a_moment() -> None:
    """A card under its power limit is slower after seconds; without such a figure the best product stands for it."""
    short = figure("float16 product", 60e12), figure("float16 product", 40e12)
    assert with_measured(RATES, calibration(*short)).half == 60e12
    assert with_measured(RATES, calibration(*short, figure("lasting product", 28e12))).half == 28e12


def test_memory_is_as_fast_as_the_slower_of_its_two_figures() -> None:
    """Kernels of a step add at least as often as they copy."""
    both = calibration(figure("copy", 1e12), figure("addition", 0.8e12))
    assert with_measured(RATES, both).memory == pytest.approx(0.8e12 / COPIED)


def test_links_are_measured_ways() -> None:
    """Also between cards that are taken for slow ones where nothing was measured."""
    geforce = rates_of("GeForce RTX 3090")
    found = with_measured(geforce, calibration(figure("copy to peer", 44e9), figure("copy from host", 22e9)))
    assert peer(found) == pytest.approx(44e9 / PEER_COPIED)
    assert found.host == pytest.approx(22e9 / HOST_COPIED)
    assert peer(geforce) < geforce.host


def test_a_card_in_no_catalogue_has_the_rates_that_were_measured() -> None:
    """All of them; where one is missing, none are told."""
    wonder = Gpu("NVIDIA Wonder 9", 64 << 30, (13, 0))
    assert rates_on(wonder) is None
    measured = usual(RATES, faster=2, device=wonder.name)
    assert rates_on(replace(wonder, here=Here(measured))) is None
    whole = replace(measured, figures=(*measured.figures, figure("copy from host", 55e9)))
    rates = rates_on(replace(wonder, here=Here(whole)))
    assert rates is not None
    assert [getattr(rates, name) for name in NAMES[:3]] == pytest.approx(
        [2 * getattr(RATES, name) for name in NAMES[:3]]
    )
    assert rates.peer == rates.host == pytest.approx(63e9)


def test_runs_come_along_without_a_calibration() -> None:
    """What they took is of the catalogue's rates then."""
    assert rates_on(replace(A100, here=Here(None, (1.1, 1.2)))) == replace(RATES, ratios=(1.1, 1.2))
