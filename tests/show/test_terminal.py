"""What people read."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from finefit.nouns.estimate import Estimate
from finefit.nouns.machine import Machine
from finefit.nouns.plan import Plan
from finefit.nouns.receipt import Receipt
from finefit.show.terminal import console_on, show_answers, show_estimate, show_plan, show_receipt
from finefit.units import GIB


def test_an_estimate_leads_with_the_peak_and_says_why(estimate: Estimate, capsys: pytest.CaptureFixture[str]) -> None:
    """The number first, then where it comes from; brackets in names are names."""
    show_estimate(estimate)
    out = capsys.readouterr().out
    assert out.index("10.00 GiB allocated at the peak, in backward") < out.index("alive at the peak")
    for part in ("[bold]org/model[/bold]", "[/x] why", "3.21 B, 24.3 M trained", "of 24.00 GiB", "note: a note"):
        assert part in out


def test_an_estimate_that_cannot_fit_says_so(estimate: Estimate, capsys: pytest.CaptureFixture[str]) -> None:
    """The verdict names the card and what it holds."""
    show_estimate(replace(estimate, ledger=replace(estimate.ledger, peak_bytes=25 * GIB)))
    assert "does not fit: GeForce RTX 4090 holds 24.00 GiB" in capsys.readouterr().out
    show_estimate(replace(estimate, machine=Machine(None)))
    assert "on the processor" in capsys.readouterr().out


def test_a_plan_names_the_row_that_sets_the_peak(plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    """Data, batch, layers and the predicted peak, before anything runs."""
    show_plan(plan, console_on(sys.stdout))
    out = capsys.readouterr().out
    for part in ("the longest is line 33", "7 of 16 sequences: 1 × 1", "the first layer", "10.00 GiB allocated"):
        assert part in out


def test_a_receipt_has_predicted_beside_measured(receipt: Receipt, capsys: pytest.CaptureFixture[str]) -> None:
    """Each phase and the peak with their gap; what was not measured is left out."""
    show_receipt(receipt)
    out = capsys.readouterr().out
    for part in ("303.0 MiB", "300.0 MiB", "+1.00 %", "4.2500 -> nan", "812 tokens/s", "1 min 05 s", "sha256 of data"):
        assert part in out
    assert "held-out" not in out


def test_answers_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """One answer is the output alone; several stand under their prompts."""
    show_answers(["a"], ["[red]x[/red]\ny"])
    assert capsys.readouterr().out == "[red]x[/red]\ny\n"
    show_answers(["a", "b"], ["1", "2"])
    assert capsys.readouterr().out.split() == ["a", "1", "b", "2"]
