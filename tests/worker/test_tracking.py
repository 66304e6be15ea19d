"""What a tracker is told of a run: tensorboard, which needs no account."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finefit.errors import BadInput
from finefit.lower.tracking import tracked
from finefit.world import trackers

pytest.importorskip("tensorboard")
PLANNED = 123_456_789


@pytest.fixture(scope="module")
def run(new_run: Callable[..., Any]) -> Any:
    told = tracked({"trainer": {}}, "tensorboard", PLANNED)
    run = new_run(**told["trainer"], eval_strategy="steps", eval_steps=5, max_steps=6)
    run._orders["planned_bytes"] = told["planned_bytes"]
    assert run.finish() == 0, run.log.read_text()
    return run


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder))
    read.Reload()
    return {name: {one.step: one.value for one in read.Scalars(name)} for name in read.Tags()["scalars"]}


def test_a_tracker_has_the_curve_and_the_memory_beside_its_plan(run: Any) -> None:
    """Of every step, as the run's own events have them; an evaluation on the way too."""
    found = scalars(run.path / "tensorboard")
    steps = {event["step"]: event for event in run.events("step")}
    assert found["train/loss"] == pytest.approx({step: event["loss"] for step, event in steps.items()}, rel=1e-6)
    planned = found["train/memory/planned_peak_allocated_bytes"]
    assert [planned[step] for step in steps] == [pytest.approx(PLANNED, rel=1e-6)] * len(steps)
    peaks = found["train/memory/peak_rss_bytes"]
    assert all(peaks[step] > 10**8 for step in steps)
    (during,) = [event for event in run.events("eval") if event["when"] == "during"]
    assert found["eval/loss"][5] == pytest.approx(during["loss"], rel=1e-6)


def test_nothing_of_a_tracker_is_in_a_checkpoint(run: Any) -> None:
    """It lies in the run's folder, beside them."""
    assert not list((run.path / "checkpoints").rglob("events.out*"))


def test_a_tracker_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything runs, with what installs it."""
    monkeypatch.setattr(trackers, "find_spec", lambda _: None)
    trackers.refuse_lacking("none")
    with pytest.raises(BadInput, match="pip install trackio"):
        trackers.refuse_lacking("trackio")
