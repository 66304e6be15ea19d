"""A run as a user has it: supervised, interrupted, resumed, with a receipt at its end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from finefit.errors import Interrupted
from finefit.nouns.job import Job
from finefit.nouns.knobs import Knobs
from finefit.nouns.ledger import Ledger
from finefit.nouns.machine import Machine
from finefit.nouns.method import LoRA
from finefit.nouns.model import Model
from finefit.nouns.plan import Plan
from finefit.run import folder, receipt, worker

PHASES = dict.fromkeys(("load", "forward", "backward", "optimizer", "resident"), 1_000_000)


def test_a_run_from_plan_to_receipt(
    orders: Any, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """An interrupted run is resumed to a receipt, and the worker's noise reaches the log, not the terminal."""
    monkeypatch.chdir(tmp_path)
    told = orders(num_train_epochs=8.0, save_steps=50)  # long enough to be interrupted in time
    plan = Plan(
        job=Job(model=str(model_folder), data=told["data"]["train"]),
        model=Model("tiny", {"num_hidden_layers": 2}, folder=str(model_folder)),
        method=LoRA(r=4),
        knobs=Knobs(max_length=44),
        machine=Machine(None),
        ledger=Ledger(1_000_000, "backward", PHASES, (), 900, 100),
        data=None,
        steps=48,
        stack={},
        notes=(),
        orders=told,
    )
    run = folder.create(plan, "job")
    heard: list[Any] = []

    def interrupt_at_four(event: Any) -> None:
        heard.append(event)
        if event.get("step") == 4 and event["event"] == "step":
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="--resume"):
        worker.train(run, interrupt_at_four)
    [saved] = [event["step"] for event in heard if event["event"] == "checkpoint"]
    assert saved >= 4
    worker.train(folder.to_resume(run), heard.append)
    found = receipt.write(run)
    assert [event["resumed_from"] for event in heard if event["event"] == "started"] == [0, saved]
    assert found.steps == 48
    assert found.measured_by == "recorder"
    assert [gap.phase for gap in found.phases] == list(PHASES)
    assert found.eval_loss_after is not None
    assert found.rss_peak_bytes > found.peak.measured_bytes > 0
    assert set(found.hashes) == {"job", "data", "model_config", "adapter"}
    assert json.loads(run.receipt.read_text())["run"] == "job-1"
    assert capfd.readouterr() == ("", "")
    assert "train_runtime" in run.log.read_text()
