"""CUDA contexts, by chip."""

from __future__ import annotations

from dataclasses import replace

import pytest

from calibrated import calibration, context
from finefit.catalog.contexts import context_on, growth, rows
from finefit.catalog.gpus import gpu_named
from finefit.nouns.calibration import Here
from finefit.units import MIB

KNOWN = ("T4", "A100-80GB", "A100-40GB", "L4", "RTX 6000 Ada")
UNKNOWN = ("RTX4090", "H100-80GB", "RTX3060-12GB")


@pytest.mark.parametrize("name", KNOWN)
def test_a_known_chip_has_a_narrower_interval_than_an_unknown_one(name: str) -> None:
    """And it names its source."""
    known = context_on(gpu_named(name))
    widths = [context.high - context.low for context in (context_on(gpu_named(other)) for other in UNKNOWN)]
    assert known.high - known.low < min(widths)
    assert any(row.source in known.reasons[0].why for row in rows())


def test_an_unknown_chip_has_the_span_of_all_known_ones() -> None:
    """Guessed, and said so."""
    unknown = context_on(gpu_named("RTX4090"))
    assert unknown.low == min(context_on(gpu_named(name)).low for name in KNOWN)
    assert unknown.high == max(context_on(gpu_named(name)).high for name in KNOWN)
    assert unknown.reasons[0].basis == "guessed"
    assert "not known of GeForce RTX 4090" in unknown.reasons[0].why


def test_what_was_read_in_training_is_taken_as_it_is() -> None:
    """A T4 had 140.875 MiB after training steps, in every run; that includes the kernels."""
    context = context_on(gpu_named("T4"))
    assert context.low == context.typical == context.high == int(140.875 * MIB)
    assert context.reasons[0].basis == "measured"


def test_what_was_read_alone_grows_as_the_known_one_did() -> None:
    """By bytes it is likely, by a ratio at most."""
    grown_bytes, ratio = growth()
    assert (grown_bytes, ratio) == (int(35.875 * MIB), pytest.approx(140.875 / 105))
    context = context_on(gpu_named("A100-80GB"))
    assert (context.low, context.typical) == (501 * MIB, 501 * MIB + grown_bytes)
    assert context.high == int(501 * MIB * ratio)


def test_what_was_measured_here_comes_first() -> None:
    """From what the driver showed alone to as much again as the calibration's kernels added, with day and versions."""
    found = calibration(*context(alone=100 * MIB, after=140 * MIB))
    known = context_on(replace(gpu_named("A100-80GB"), here=Here(found)))
    assert (known.low, known.typical, known.high) == (100 * MIB, 140 * MIB, 180 * MIB)
    reason = known.reasons[0]
    assert reason.basis == "measured"
    assert "on 2026-11-21 (torch 2.13.0, driver 580.1)" in reason.why


def test_a_calibration_without_a_context_leaves_the_row() -> None:
    """As where NVML did not say."""
    gpu = gpu_named("A100-80GB")
    assert context_on(replace(gpu, here=Here(calibration()))) == context_on(gpu)


def test_a_card_whose_total_torch_knows_hides_nothing() -> None:
    """Where only nvidia-smi's total is known, the driver keeps a part: no more than of any card that is known."""
    assert gpu_named("T4").unknown_bytes == 0
    unknown = gpu_named("RTX 6000 Ada")
    assert 0 < unknown.unknown_bytes < 0.04 * unknown.vram_bytes
