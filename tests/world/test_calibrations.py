"""What was measured here, as it is kept."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from calibrated import DEVICE, calibration, figure, predicted, usual
from finefit.catalog.rates import rates_of
from finefit.nouns.calibration import Calibration, Here
from finefit.world.calibrations import here, keep, kept_at, learn, read, runs_at, trouble
from finefit.world.gpus import machine_named

FOUND = usual(rates_of(DEVICE))


@pytest.fixture(autouse=True)
def empty_house(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FINEFIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FINEFIT_CALIBRATION")


def test_where_nothing_was_measured_nothing_is_known() -> None:
    """And nothing is told, nor made on the disk."""
    assert (read(DEVICE), here(DEVICE), trouble(DEVICE)) == (None, None, ())
    gpu = machine_named("2xA100-80GB").gpu
    assert gpu is not None
    assert gpu.here is None
    assert not kept_at(DEVICE).parent.exists()


def test_what_is_written_is_read() -> None:
    """The same, by any name of the card; and only for that card."""
    assert keep(FOUND) == kept_at(DEVICE)
    assert read(DEVICE) == FOUND
    for name in ("A100-80GB", "4xA100-80GB", "nvidia a100-sxm4-80gb"):
        gpu = machine_named(name).gpu
        assert gpu is not None
        assert gpu.here == Here(FOUND)
    other = machine_named("A100-40GB").gpu
    assert other is not None
    assert other.here is None


def test_a_newer_calibration_takes_the_place_of_an_older() -> None:
    """Of its own device alone."""
    processor = calibration(figure("copy", 1e10), device="cpu")
    for one in (FOUND, processor, calibration(figure("copy", 2e12))):
        keep(one)
    assert read(DEVICE) == calibration(figure("copy", 2e12))
    assert read("cpu") == processor


def test_it_can_be_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then nothing is read or added."""
    keep(FOUND)
    monkeypatch.setenv("FINEFIT_CALIBRATION", "off")
    learn(DEVICE, predicted(1.0), 1.1)
    assert keep(calibration(device="cpu")) is None
    assert (read(DEVICE), here(DEVICE), trouble(DEVICE)) == (None, None, ())
    assert not kept_at("cpu").exists()
    assert not runs_at(DEVICE).exists()


def written(**changed: object) -> str:
    return json.dumps({"format": 1, **asdict(FOUND), **changed})


def with_figure(**changed: object) -> str:
    return written(figures=[asdict(FOUND.figures[0]) | changed])


BROKEN = {
    "torn": (written()[:200], "it is not JSON"),
    "empty": ("", "it is not JSON"),
    "binary": (b"\xff\xfe\x00", "it is not JSON"),
    "a list": ("[1]", "another version of finefit"),
    "of a later version": (written(format=2), "another version of finefit"),
    "of another card": (written(device="Tesla T4"), f"it is of another device than {DEVICE}"),
    "without a date": (written(measured_at="soon"), "a figure in it is none"),
    "figures are a number": (written(figures=3), "a figure in it is none"),
    "versions are a number": (written(versions=3), "a figure in it is none"),
    "an unknown figure": (with_figure(what="luck"), "a figure in it is none"),
    "no number": (with_figure(median="fast"), "a figure in it is none"),
    "not finite": (with_figure(high=float("inf")), "a figure in it is none"),
    "endless": (with_figure(runs=float("inf")), "a figure in it is none"),
    "nothing a second": (with_figure(low=0.0), "a figure in it is none"),
    "median beyond the runs": (with_figure(low=1e30), "a figure in it is none"),
}


@pytest.mark.parametrize(("text", "why"), BROKEN.values(), ids=BROKEN)
def test_a_file_that_cannot_be_used_is_as_none_and_is_told(text: str | bytes, why: str) -> None:
    """With its path, why, and what to do."""
    kept_at(DEVICE).parent.mkdir(parents=True)
    kept_at(DEVICE).write_bytes(text if isinstance(text, bytes) else text.encode())
    assert (read(DEVICE), here(DEVICE)) == (None, None)
    (told,) = trouble(DEVICE)
    assert told.startswith(f"{kept_at(DEVICE)} is not used: {why}")
    assert told.endswith("`finefit calibrate` writes it anew")
    keep(FOUND)
    assert (read(DEVICE), trouble(DEVICE)) == (FOUND, ())


def test_a_folder_in_its_place_is_told_too() -> None:
    """As what cannot be read."""
    kept_at(DEVICE).mkdir(parents=True)
    assert read(DEVICE) is None
    assert "cannot be read" in trouble(DEVICE)[0]


def ratios(device: str = DEVICE) -> tuple[float, ...]:
    known = here(device)
    return () if known is None else known.ratios


def test_runs_are_added_one_behind_another() -> None:
    """Measured over predicted seconds, each of its own device; numbers alone are kept."""
    learn(DEVICE, predicted(2.0), 2.2)
    learn("Tesla T4", predicted(1.0), 9.0)
    learn(DEVICE, predicted(4.0), 3.0)
    assert ratios() == pytest.approx((1.1, 0.75))
    lines = runs_at(DEVICE).read_text().splitlines()
    assert json.loads(lines[0]) == {"rates": "", "predicted_seconds": 2.0, "measured_seconds": 2.2}


def test_a_corrected_prediction_is_held_against_a_run_as_it_was_before() -> None:
    """Else a correction would be taken for the rates' own."""
    learn(DEVICE, replace(predicted(3.0), correction=1.5), 2.2)
    assert ratios() == pytest.approx((1.1,))


def test_runs_count_for_the_rates_they_were_predicted_with() -> None:
    """A new calibration begins anew, since its own predictions may be right."""
    learn(DEVICE, predicted(1.0), 1.5)
    keep(FOUND)
    assert ratios() == ()
    learn(DEVICE, predicted(1.0, FOUND.measured_at), 1.2)
    assert ratios() == (1.2,)
    keep(Calibration(DEVICE, "2026-11-22T00:00:00+00:00", {}, FOUND.figures))
    assert ratios() == ()


@pytest.mark.parametrize(("seconds", "measured"), [(0, 1), (1, 0), (-1, 1), (1, float("nan")), (float("inf"), 1)])
def test_what_is_no_time_is_not_added(seconds: float, measured: float) -> None:
    """A run of no step has none."""
    learn(DEVICE, predicted(seconds), measured)
    assert not runs_at(DEVICE).exists()


def test_a_torn_line_costs_itself_alone() -> None:
    """The next one begins a line of its own; what is foreign is passed over."""
    learn(DEVICE, predicted(1.0), 1.1)
    with runs_at(DEVICE).open("a") as file:
        file.write(
            '[]\n7\n{"rates": ""}\n{"rates": "", "predicted_seconds": true, "measured_seconds": 2}\n{"rates": "", '
        )
    learn(DEVICE, predicted(1.0), 1.3)
    assert ratios() == (1.1, 1.3)


def test_a_run_that_is_done_does_not_fail_where_nothing_can_be_kept(tmp_path: Path) -> None:
    """Its receipt is its own."""
    (tmp_path / "cache").write_text("a file")
    learn(DEVICE, predicted(1.0), 1.1)
    assert here(DEVICE) is None
