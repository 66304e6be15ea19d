"""What a finished run leaves for the next prediction."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from finefit.api.running import LEARNT_STEPS, learn
from finefit.nouns.engine import DDP, Engine
from finefit.nouns.machine import Gpu, Machine
from finefit.nouns.pace import Pace, Share
from finefit.nouns.receipt import TimeGap
from finefit.world import calibrations

GPU = Gpu("RTX 4090", 24 << 30, (8, 9))
PACE = Pace((Share("products", 4.0, "derived", "why"),), 3.0, 5.0, tokens=4096)


@pytest.fixture(autouse=True)
def _kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("FINEFIT_CACHE", str(tmp_path))
    monkeypatch.delenv("FINEFIT_CALIBRATION", raising=False)


def run(
    step: TimeGap | None, gpu: Gpu | None = GPU, pace: Pace | None = PACE, engine: Engine | None = None
) -> tuple[float, ...]:
    plan = SimpleNamespace(machine=Machine(gpu), pace=pace, engine=engine)
    learn(plan, SimpleNamespace(step=step))  # type: ignore[arg-type]
    known = calibrations.here(GPU.name)
    return () if known is None else known.ratios


STEP = TimeGap(1.5, 2.0, 2.5, measured=3.0, steady_steps=LEARNT_STEPS)


def test_a_run_says_how_much_longer_it_took() -> None:
    """Its mean step over the mean step that was predicted, however long its rows were."""
    assert run(STEP) == (1.5,)
    assert run(replace(STEP, measured=1.0)) == (1.5, 0.5)


def test_what_was_corrected_is_not_corrected_twice() -> None:
    """The ratio is to what the rates alone predict."""
    assert run(STEP, pace=replace(PACE, correction=2.0)) == (3.0,)


@pytest.mark.parametrize("step", [None, replace(STEP, steady_steps=LEARNT_STEPS - 1)])
def test_few_steps_say_nothing(step: TimeGap | None) -> None:
    """Nor does a run without a prediction."""
    assert run(step) == ()


def test_a_processor_is_not_learnt_from() -> None:
    """No time is predicted there."""
    assert run(STEP, gpu=None, pace=None) == ()


def test_ranks_teach_nothing() -> None:
    """They also wait for each other, which a card alone does not."""
    assert run(STEP, engine=DDP(2)) == ()
