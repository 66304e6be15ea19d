"""Plans without a rehearsal, in a folder of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finefit.nouns.data import DataFacts
from finefit.nouns.job import Job
from finefit.nouns.knobs import Knobs
from finefit.nouns.ledger import Ledger, Line
from finefit.nouns.machine import Gpu, Machine
from finefit.nouns.method import Full, LoRA
from finefit.nouns.model import Model
from finefit.nouns.plan import Plan

PHASES = {"load": 1000, "forward": 3000, "backward": 4000, "optimizer": 1500, "resident": 1100}


@pytest.fixture
def make_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Plan]:
    """Runs land in `tmp_path`: it is the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text('{"messages": []}\n')

    def make(full: bool = False, on_gpu: bool = False, **wishes: Any) -> Plan:
        job = Job(model="tiny", data="rows.jsonl", method="full" if full else "lora", **wishes)
        return Plan(
            job=job,
            model=Model("tiny", {"model_type": "llama", "num_hidden_layers": 2}, folder="model", source="here"),
            method=Full() if full else LoRA(r=4, target_modules=("q_proj", "v_proj")),
            knobs=Knobs(max_length=64),
            machine=Machine(Gpu("RTX4090", 24 << 30, (8, 9)) if on_gpu else None),
            ledger=Ledger(4000, "backward", PHASES, (Line("weights", 4000, "load", "because"),), 900, 100),
            data=DataFacts(10, 2, 3, 20, 64, 200, 150, 7),
            steps=12,
            stack={"torch": "2.13.0"},
            notes=("a note of the plan",),
            orders={"device": "cpu", "model": {"folder": "model"}, "data": {"train": "rows.jsonl", "eval": None}},
        )

    return make
