"""What a run reports of its own pace."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from finefit.worker.progress import Progress

LOGS = {"loss": 2.0, "grad_norm": 0.5, "learning_rate": 1e-4}


def memory() -> dict[str, Any]:
    return {"memory_bytes": 5, "memory_kind": "rss", "peak_bytes": 7}


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def state(step: int, steps: int = 10) -> SimpleNamespace:
    return SimpleNamespace(global_step=step, max_steps=steps, epoch=step / steps)


def batch(*lengths: int) -> dict[str, torch.Tensor]:
    width = max(lengths)
    return {"attention_mask": torch.tensor([[1] * length + [0] * (width - length) for length in lengths])}


def test_only_training_is_timed(clock: Clock) -> None:
    """Evaluating and saving cost tokens per second nothing."""
    progress = Progress(memory)
    progress.start()
    progress.count([batch(3, 5), batch(2)])
    clock.now += 2
    with progress.paused():
        clock.now += 1000
    clock.now += 3
    report = progress.report(state(1), LOGS)
    assert (report["tokens"], report["seconds"], report["tokens_per_second"]) == (10, 5.0, 2.0)


def test_the_first_steps_do_not_slow_the_forecast(clock: Clock) -> None:
    """Steps that are recorded are slower; what is left is forecast from those after them."""
    progress = Progress(memory)
    progress.start()
    for step, seconds in enumerate((50, 50, 1, 1, 1), 1):
        progress.count([batch(4)])
        clock.now += seconds
        report = progress.report(state(step), LOGS)
    assert report["seconds_left"] == 5


def test_a_resumed_run_counts_on(clock: Clock) -> None:
    """Tokens and time go on from the checkpoint; the pace is of the new steps alone."""
    progress = Progress(memory)
    progress.restore(step=4, tokens=1000, seconds=60.0)
    progress.start()
    progress.count([batch(8)])
    clock.now += 4
    report = progress.report(state(5), LOGS)
    assert (report["tokens"], report["tokens_per_second"], report["seconds"]) == (1008, 2.0, 4.0)
    assert report["seconds_left"] == 20
    assert progress.seconds == 64


def test_a_peak_never_falls(clock: Clock) -> None:
    """Whatever the system says later, the highest that was ever seen is the peak."""
    seen = iter([(5, 7), (9, 8), (4, 8)])
    progress = Progress(lambda: dict(zip(("memory_bytes", "peak_bytes"), next(seen), strict=True)))
    assert [progress.report(state(step), LOGS)["peak_bytes"] for step in (1, 2, 3)] == [7, 9, 9]
