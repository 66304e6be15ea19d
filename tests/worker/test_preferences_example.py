"""The example of preferences, as its reader runs it: planned, trained, answered with and exported."""

from __future__ import annotations

from pathlib import Path

import pytest

from finefit import api
from finefit.nouns.receipt import Receipt
from finefit.nouns.sampling import Sampling
from finefit.run.folder import open_run, read_plan
from finefit.show.card import card_of
from finefit.show.live import Lines
from finefit.show.terminal import show_receipt

EXAMPLE = Path(__file__).parents[2] / "examples" / "preferences.yaml"
pytestmark = pytest.mark.xdist_group("preferences example")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four steps of it, of two pairs at a time."""
    folder = tmp_path_factory.mktemp("example") / "run"
    fewer = {"max-steps": "4", "global-batch-size": "2", "output-dir": str(folder)}
    api.train(str(EXAMPLE), fewer, False, Lines())
    return folder


@pytest.fixture(scope="module")
def receipt(run: Path) -> Receipt:
    return api.read_receipt(str(run))


def test_the_receipt_is_within_a_percent(receipt: Receipt) -> None:
    """In every phase, of which the reference's is one; on a processor without accumulation it is to the byte."""
    assert {gap.phase for gap in receipt.phases} >= {"forward", "reference", "backward", "evaluation"}
    assert all(gap.gap_percent == 0 for gap in (*receipt.phases, receipt.peak))


def test_short_answers_are_preferred(receipt: Receipt, capsys: pytest.CaptureFixture[str]) -> None:
    """Losses fall, of the rows and of those held out, most of which are told apart rightly; the receipt says so."""
    assert receipt.train_loss_first == pytest.approx(0.6931, abs=1e-3)
    assert (receipt.train_loss_last or 1) < 0.69
    assert (receipt.eval_loss_after or 1) < (receipt.eval_loss_before or 0)
    assert (receipt.preferred or 0) > 0.5
    show_receipt(receipt)
    assert f"{receipt.preferred:.0%} of the held-out pairs" in capsys.readouterr().out


def test_a_run_answers_and_is_exported(run: Path, receipt: Receipt) -> None:
    """As any run does: its adapter is read, and merged into a model that agrees on the preferred answers."""
    [answer] = api.generate(str(run), ["What is `math.tau`?"], Sampling(max_new_tokens=4), base=False)
    assert answer
    exported = api.export(str(run))
    assert exported.rows == 2
    card = card_of(read_plan(open_run(run)), receipt, exported)
    assert "on preferences (DPO) in `train.jsonl`" in card
    assert "| held-out pairs preferred |" in card
