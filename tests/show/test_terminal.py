"""What people read."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from finefit.nouns.estimate import Estimate
from finefit.nouns.machine import Gpu, Machine
from finefit.nouns.pace import Pace, Share
from finefit.nouns.plan import Plan
from finefit.nouns.planned import Candidate, Chosen, Weighed
from finefit.nouns.receipt import RangeGap, Receipt, TimeGap
from finefit.nouns.workload import Workload
from finefit.show.planned import show_run
from finefit.show.terminal import console_on, show_estimate, show_plan, show_receipt
from finefit.units import GIB


def test_an_estimate_leads_with_the_peak_and_says_why(estimate: Estimate, capsys: pytest.CaptureFixture[str]) -> None:
    """The number first, then where it comes from; brackets in names are names."""
    show_estimate(estimate)
    out = capsys.readouterr().out
    assert out.index("10.00 GiB allocated at the peak, in backward") < out.index("alive at the peak")
    for part in ("[bold]org/model[/bold]", "[/x] why", "3.21 B, 24.3 M trained", "note: a note"):
        assert part in out


def test_reserved_and_device_are_shown_as_ranges(estimate: Estimate, capsys: pytest.CaptureFixture[str]) -> None:
    """What is likely, from what to what, whether it fits, and every reason with what it rests on."""
    show_estimate(estimate)
    out = capsys.readouterr().out
    for part in (
        *("11.00 GiB (11.00 GiB to 13.00 GiB) reserved", "12.00 GiB (11.50 GiB to 15.00 GiB) on the device"),
        *("fits: GeForce RTX 4090 holds 24.00 GiB", "[/y] because", "nobody knows", "guessed", "derived"),
        "11.00 GiB on the device, where the allocator empties its cache",
    ):
        assert part in out


def test_an_estimate_that_cannot_fit_says_so(estimate: Estimate, capsys: pytest.CaptureFixture[str]) -> None:
    """The verdict names the card and what it holds, and what a tight fit means."""
    for vram, words in (
        (14, "tight, since the worst case is more: small holds 14.00 GiB"),
        (11, "tight, since the allocator must empty its cache to go on, and the GPU waits meanwhile: small"),
        (10, "does not fit: small holds 10.00 GiB"),
    ):
        show_estimate(replace(estimate, machine=Machine(Gpu("small", vram * GIB, (8, 0)))))
        assert words in capsys.readouterr().out
    show_estimate(replace(estimate, machine=Machine(Gpu("nominal", 24 * GIB, (8, 0), unknown_bytes=GIB))))
    assert "fits: nominal holds 24.00 GiB, of which the driver keeps up to 1.00 GiB" in capsys.readouterr().out
    show_estimate(replace(estimate, machine=Machine(None)))
    assert "on the processor" in capsys.readouterr().out


def test_a_plan_names_the_row_that_sets_the_peak(plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    """Data, batch, layers and the predicted peak, before anything runs."""
    show_plan(plan, console_on(sys.stdout))
    out = capsys.readouterr().out
    for part in (
        "the longest is line 33",
        "7 of 16 sequences: 1 × 1",
        "the first layer",
        "10.00 GiB allocated",
        "12.00 GiB",
        *("why the device may show less or more", "lengths", "derived", "[/y] because"),
    ):
        assert part in out


def test_a_run_says_how_long_it_takes_and_why_so(plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    """The pace, the whole run, and what is behind the choice; nothing of what is not known, and no price."""
    pace = Pace((Share("all", 2.0, "derived", ""),), 1.5, 3.0, 4000)
    work = Workload(100, 1.0, 7, 2000, 2500, 14.0, 10.5, 21.0, 33, None)
    behind = Candidate(plan.method, replace(plan.knobs, gradient_checkpointing="all"), None, 8 * GIB, pace)
    chosen = Chosen(84, 3, (Weighed(behind, 11 * GIB, is_checked=False),))
    show_run(replace(plan, pace=pace, work=work, chosen=chosen), console_on(sys.stdout))
    out = " ".join(capsys.readouterr().out.split())
    for part in (
        *("2,000 tokens/s (1,333 to 2,667)", "7 steps", "14.0 s (10.5 s to 21.0 s)", "80 % of what is read"),
        *("the fastest that fits GeForce RTX 4090; 84 recipes weighed, 3 with the allocator", "about 11.00 GiB"),
        *("the first layer", "every layer"),
    ):
        assert part in out
    assert "price" not in out
    show_run(plan, console_on(sys.stdout))
    assert capsys.readouterr().out == ""


def test_a_receipt_has_predicted_beside_measured(receipt: Receipt, capsys: pytest.CaptureFixture[str]) -> None:
    """Each phase and the peak with their gap; what was not measured is left out."""
    show_receipt(receipt)
    out = capsys.readouterr().out
    for part in ("303.0 MiB", "300.0 MiB", "+1.00 %", "4.2500 -> nan", "812 tokens/s", "1 min 05 s", "sha256 of data"):
        assert part in out
    assert "held-out" not in out
    assert "reserved" not in out


def test_a_receipt_says_whether_memory_was_inside_its_range(
    receipt: Receipt, capsys: pytest.CaptureFixture[str]
) -> None:
    """Measured first; without a prediction only that."""
    gap = RangeGap(1 * GIB, 2 * GIB, 3 * GIB, 4 * GIB)
    show_receipt(replace(receipt, reserved=replace(gap, measured_bytes=None), device=gap))
    out = capsys.readouterr().out
    assert "not measured; 1.00 GiB to 3.00 GiB predicted, 2.00 GiB likely" in out
    assert "4.00 GiB at most, outside of 1.00 GiB to 3.00 GiB" in out
    show_receipt(replace(receipt, device_peak_bytes=5 * GIB))
    assert "5.00 GiB at most" in capsys.readouterr().out


def test_a_receipt_says_whether_a_step_took_as_long_as_predicted(
    receipt: Receipt, capsys: pytest.CaptureFixture[str]
) -> None:
    """Measured first; where nothing was predicted, nothing."""
    show_receipt(receipt)
    assert "a step" not in capsys.readouterr().out
    show_receipt(replace(receipt, step=TimeGap(1.0, 2.0, 3.0, 2.5)))
    assert "2.5 s on average, inside of 2.0 s (1.0 s to 3.0 s) predicted" in capsys.readouterr().out
