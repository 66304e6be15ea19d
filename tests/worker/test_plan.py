"""A plan for a GPU: the rows of its own job, replayed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from finefit.api import plan_job
from finefit.nouns.plan import Plan
from finefit.run import worker


class Heard:
    """An observer that keeps what it hears."""

    def __init__(self) -> None:
        self.stages: list[str] = []

    def note(self, text: str) -> None:
        pass

    def stage(self, text: str) -> None:
        self.stages.append(text)

    def planned(self, plan: Plan) -> None:
        pass

    def event(self, event: Mapping[str, Any]) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture
def job(model_folder: Path, data: dict[str, str], tmp_path: Path) -> str:
    path = tmp_path / "job.yaml"
    wishes = {"model": str(model_folder), "data": data["train"], "eval_data": data["eval"], "global_batch_size": 8}
    path.write_text(json.dumps(wishes | {"per_device_train_batch_size": 2, "num_train_epochs": 4.0, "save_steps": 5}))
    return str(path)


def test_a_plan_for_a_gpu_replays_its_own_rows(job: str) -> None:
    """Of a job that leaves nothing to choose; a run of twelve steps, saved after the fifth and the tenth: the reason is
    derived, and says how much was replayed, as does the stage that it takes time for."""
    heard = Heard()
    plan = plan_job(job, {"gpu": "RTX4090", "gradient-checkpointing": "all"}, heard)
    assert isinstance(plan, Plan)
    assert plan.steps == 12
    assert plan.ledger.reserved is not None
    reason = plan.ledger.reserved.reasons[0]
    assert (reason.what, reason.basis) == ("rows of changing length", "derived")
    assert "were replayed, in this run's own order" in reason.why
    assert heard.stages == ["rehearsing the training step, and two of shorter rows"]


def test_a_plan_for_a_processor_asks_for_no_shorter_rows(job: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no allocator."""
    asked = []

    def ask(verb: str, orders: dict[str, Any]) -> dict[str, Any]:
        asked.append(orders["rehearsal"]["shorter"])
        raise KeyboardInterrupt

    monkeypatch.setattr(worker, "ask", ask)
    with pytest.raises(KeyboardInterrupt):
        plan_job(job, {"gpu": "cpu"}, Heard())
    assert asked == [False]
