"""`finefit calibrate`, as its user sees it, with a worker that answers at once; and what it changes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from calibrated import DEVICE, context, figure, predicted, usual
from finefit.catalog.rates import rates_of
from finefit.cli.main import run
from finefit.errors import RunFailed
from finefit.nouns.machine import Gpu
from finefit.run import worker
from finefit.units import MIB
from finefit.world.calibrations import kept_at, learn

Said = Callable[..., tuple[int, str, str]]
ESTIMATE = ("estimate", "meta-llama/Llama-3.1-8B", "--gpu", "A100-80GB", "--json")
FIGURES = (
    *usual(rates_of(DEVICE), faster=0.5).figures,
    *context(100 * MIB, 150 * MIB),
    figure("copy from host", 2e10),
)
"""Of a card that is half as fast as its row says."""


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Said:
    monkeypatch.setenv("FINEFIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("FINEFIT_CALIBRATION")
    monkeypatch.delenv("FINEFIT_DEBUG", raising=False)
    monkeypatch.chdir(tmp_path)

    def said(*words: str) -> tuple[int, str, str]:
        code = run(words)
        out, err = capsys.readouterr()
        return code, out, err

    return said


def answering(monkeypatch: pytest.MonkeyPatch, device: str) -> list[Mapping[str, Any]]:
    """A worker on such a device; returns the orders that it gets."""
    orders: list[Mapping[str, Any]] = []

    def ask(verb: str, told: Mapping[str, Any], on_event: Callable[[Mapping[str, Any]], None]) -> dict[str, Any]:
        orders.append({"verb": verb, **told})
        on_event({"event": "note", "text": "matrix products in bfloat16"})
        return {"device": device, "versions": {"torch": "2.13.0"}, "figures": [asdict(one) for one in FIGURES]}

    monkeypatch.setattr(worker, "ask", ask)
    return orders


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, Any]]:
    gpu = Gpu(DEVICE, 80 << 30, (8, 0))
    monkeypatch.setattr("finefit.api.calibrating.gpu_here", lambda: gpu)
    return answering(monkeypatch, "NVIDIA A100-SXM4-80GB")


def test_a_gpu_is_measured_shown_and_kept(say: Said, card: list[Mapping[str, Any]]) -> None:
    """As the catalogue names it; progress is on stderr."""
    code, out, err = say("calibrate")
    assert code == 0, err
    assert [(one["verb"], one["device"]) for one in card] == [("calibrate", "cuda")]
    assert out.startswith(f"{DEVICE}, measured on ")
    assert "lasting product" in out
    assert "TFLOP/s" in out
    assert str(kept_at(DEVICE)) in out
    assert err.splitlines() == ["measuring this machine's GPU: about a minute", "matrix products in bfloat16"]


def test_without_a_gpu_the_processor_is_measured(say: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    """And JSON has every figure with its unit and spread."""
    (orders := answering(monkeypatch, "cpu"))
    code, out, _ = say("calibrate", "--json")
    found = json.loads(out)
    assert (code, orders[0]["device"], found["device"]) == (0, "cpu", "cpu")
    assert found["figures"] == [asdict(one) for one in FIGURES]
    assert json.loads(Path(found["kept_at"]).read_text())["figures"] == found["figures"]


def test_what_is_off_is_shown_and_not_kept(say: Said, card: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """And it says so."""
    monkeypatch.setenv("FINEFIT_CALIBRATION", "off")
    code, out, _ = say("calibrate")
    assert (code, out.splitlines()[-1]) == (0, "Not kept: FINEFIT_CALIBRATION is off.")
    assert json.loads(say("calibrate", "--json")[1])["kept_at"] is None
    assert not kept_at(DEVICE).exists()


def test_only_this_machine_can_be_measured(say: Said) -> None:
    """A card by name is somewhere else."""
    code, out, err = say("calibrate", "--gpu", "RTX4090")
    assert (code, out) == (2, "")
    assert "'RTX4090' is neither auto nor cpu" in err


def test_a_worker_that_fails_leaves_what_was_kept(say: Said, card: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its reason is told, with exit code 1."""
    say("calibrate")
    before = kept_at(DEVICE).read_bytes()

    def fail(*_: Any) -> None:
        raise RunFailed("torch is not installed; try: pip install 'finefit[train]'")

    monkeypatch.setattr(worker, "ask", fail)
    code, out, err = say("calibrate")
    assert (code, out) == (1, "")
    assert "pip install 'finefit[train]'" in err
    assert kept_at(DEVICE).read_bytes() == before


def timeless(said: tuple[int, str, str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(said[1])
    return {name: value for name, value in found.items() if name != "seconds"}


def test_an_estimate_of_that_card_rests_on_it_and_of_no_other(say: Said, card: Any) -> None:
    """Slower by what was measured, with the day, and with the context that was read; until the file is gone."""
    other = (*ESTIMATE[:3], "L4", "--json")
    before, elsewhere = timeless(say(*ESTIMATE)), timeless(say(*other))
    say("calibrate")
    after = timeless(say(*ESTIMATE))
    assert timeless(say(*other)) == elsewhere
    assert after["speed"]["step_seconds"] == pytest.approx(2 * before["speed"]["step_seconds"], rel=0.05)
    assert "measured on this machine on " in after["speed"]["shares"][0]["why"]
    reason = next(one for one in after["memory"]["uncertainty"] if one["what"] == "CUDA context")
    assert reason["basis"] == "measured"
    assert after["memory"]["device_bytes"] - after["memory"]["reserved_bytes"] == 150 * MIB
    kept_at(DEVICE).unlink()
    assert timeless(say(*ESTIMATE)) == before


def test_a_broken_file_is_a_note_and_changes_nothing(say: Said) -> None:
    """Of estimates, and of the matrix."""
    before = timeless(say(*ESTIMATE))
    kept_at(DEVICE).parent.mkdir(parents=True)
    kept_at(DEVICE).write_text("{")
    after = timeless(say(*ESTIMATE))
    (note,) = (one for one in after["notes"] if one not in before["notes"])
    assert "is not used: it is not JSON; `finefit calibrate` writes it anew" in note
    assert after | {"notes": ()} == before | {"notes": ()}
    words = ("matrix", "llama-3.2-1b", "--gpu", "A100-80GB", "--count", "1", "--methods", "lora", "--json")
    assert note in json.loads(say(*words)[1])["notes"]


def test_a_plan_and_the_matrix_rest_on_it_too(say: Said, card: Any) -> None:
    """Every recipe of the card is slower, and the matrix names the card."""
    plan = ("plan", "llama-3.2-1b", "--gpu", "A100-80GB", "--max-length", "1024", "--json")
    matrix = ("matrix", "llama-3.2-1b", "--gpu", "A100-80GB,L4", "--count", "1", "--methods", "lora", "--json")
    before, rows = (json.loads(say(*words)[1]) for words in (plan, matrix))
    say("calibrate")
    after, slower = (json.loads(say(*words)[1]) for words in (plan, matrix))
    assert after["speed"]["step_seconds"] > 1.5 * before["speed"]["step_seconds"]
    speeds = [[row["tokens_per_second"] for row in one["rows"]] for one in (rows, slower)]
    assert speeds[0][0] > 1.5 * speeds[1][0]
    assert speeds[0][1] == speeds[1][1]
    assert any(f"the time of {DEVICE} rests on what was measured" in note for note in slower["notes"])


def test_a_card_in_no_catalogue_is_estimated_without_a_time_until_it_was_measured(
    say: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its memory is told; a plan says what to do."""
    wonder = Gpu("NVIDIA Wonder 9", 64 << 30, (13, 0))
    for module in ("finefit.world.gpus", "finefit.api.calibrating"):
        monkeypatch.setattr(f"{module}.gpu_here", lambda: wonder)
    answering(monkeypatch, wonder.name)
    estimate, plan = (*ESTIMATE[:2], "--json"), ("plan", "llama-3.2-1b", "--max-length", "1024", "--json")
    found = json.loads(say(*estimate)[1])
    assert found["speed"]["step_seconds"] is None
    assert found["memory"]["device_bytes"] > 0
    code, _, err = say(*plan)
    assert code == 2
    assert "NVIDIA Wonder 9 is in no catalogue, and was not measured" in err
    say("calibrate")
    assert json.loads(say(*estimate)[1])["speed"]["step_seconds"] > 0
    assert say(*plan)[0] == 0


def test_finished_runs_correct_the_next_estimate(say: Said) -> None:
    """Of their card, with the reason in the table."""
    before = timeless(say(*ESTIMATE))
    for _ in range(3):
        learn(DEVICE, predicted(1.0), 1.08)
    speed = timeless(say(*ESTIMATE))["speed"]
    assert 1.0 < speed["step_seconds"] / before["speed"]["step_seconds"] < 1.08
    assert speed["shares"][-1]["why"].startswith("runs on this GPU took 1.08× of the predicted time, 3 runs")
