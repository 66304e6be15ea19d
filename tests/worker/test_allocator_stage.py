"""The measuring of a run on a GPU, on counters that a test turns."""

from __future__ import annotations

from typing import Any

import pytest
import recipes

from finefit.worker import measure
from finefit.worker.allocator_stage import AllocatorStage


class TurnedCounters:
    """An allocator without a GPU: `allocate` moves what the real one counts."""

    def __init__(self) -> None:
        self.held = self.peak = self.reserved = 0
        self.device: int | None = None

    def allocate(self, to: int, then: int | None = None) -> None:
        self.peak = max(self.peak, to)
        self.held = to if then is None else then
        self.reserved = max(self.reserved, self.peak)

    def allocated_peak(self) -> int:
        return self.peak

    def reserved_peak(self) -> int:
        return self.reserved

    def reset(self) -> None:
        self.peak = self.held

    def release_cache(self) -> None:
        self.reserved = self.held

    def device_bytes(self) -> int | None:
        return self.device


def step(stage: AllocatorStage, counters: TurnedCounters, size: int) -> None:
    stage.phase("forward")
    counters.allocate(100 + size)
    stage.phase("backward")
    counters.allocate(150 + size, then=110)
    stage.phase("optimizer")
    counters.allocate(120, then=105)
    stage.phase("resident")
    stage.end_step(None)


def begun() -> tuple[AllocatorStage, TurnedCounters]:
    counters = TurnedCounters()
    stage = AllocatorStage(counters)
    counters.allocate(100)
    stage.begin(None)
    return stage, counters


def test_each_phase_keeps_its_fullest_moment() -> None:
    """Over all steps, a phase's number is the highest that the allocator counted while it lasted."""
    stage, counters = begun()
    for size in (10, 50, 20):
        step(stage, counters, size)
    measured: dict[str, Any] = stage.measured()
    assert measured["phases"] == {"load": 100, "forward": 150, "backward": 200, "optimizer": 120, "resident": 105}
    assert measured["peak_bytes"] == 200
    assert measured["reserved_bytes"] == 200


def test_what_is_aside_is_not_counted() -> None:
    """Saving leaves no trace in the phases, before training or between two steps."""
    counters = TurnedCounters()
    stage = AllocatorStage(counters)
    counters.allocate(100)
    with stage.aside():
        counters.allocate(900, then=100)
    stage.begin(None)
    step(stage, counters, 10)
    before = stage.measured()
    with stage.aside():
        counters.allocate(900, then=105)
    step(stage, counters, 10)
    assert stage.measured() == before
    assert before["phases"]["load"] == 100


def test_evaluation_is_a_phase_of_its_own() -> None:
    """It is aside of the phases around it, and its fullest moment counts for the run's peak."""
    stage, counters = begun()
    step(stage, counters, 10)
    with stage.aside(), stage.evaluating():
        counters.allocate(300, then=105)
    step(stage, counters, 10)
    measured = stage.measured()
    assert measured["phases"]["evaluation"] == measured["peak_bytes"] == 300
    assert measured["phases"]["resident"] == 105


def test_the_device_number_is_unknown_until_the_driver_says() -> None:
    """Without NVML's word there is no number; with it, the highest is kept."""
    stage, counters = begun()
    step(stage, counters, 10)
    assert stage.measured()["device_bytes"] is None
    for held in (700, 900, 800):
        counters.device = held
        step(stage, counters, 10)
    assert stage.measured()["device_bytes"] == 900


class Heard(AllocatorStage):
    """Keeps the phases that it is told of."""

    def __init__(self) -> None:
        super().__init__(TurnedCounters())
        self.phases: list[str] = []

    def phase(self, name: str) -> None:
        self.phases.append(name)
        super().phase(name)


@pytest.mark.parametrize("reference", ["adapter_off", "model", "precomputed"])
def test_a_reference_that_is_asked_is_a_phase(reference: str) -> None:
    """Of every micro-batch, between two parts of forward; none where rows bring what it said."""
    task = {"name": "dpo", "reference": reference, "quantization": None}
    heard = Heard()
    order = recipes.orders(task=task, steps=2, with_trl=True, **recipes.TWICE)
    with measure._trainer(order, heard) as trainer:
        trainer.train()
    asked = ["reference", "forward"] if reference != "precomputed" else []
    step = ["forward", *asked, "backward", "optimizer"] * 2
    assert heard.phases == ["resident", *step, "resident", *step, "resident"]
    assert set(heard.phases) | {"load"} == set(heard.measured()["phases"])
