"""Nouns with plain numbers, for views to show."""

from __future__ import annotations

from dataclasses import replace

import pytest

from finefit.nouns.data import DataFacts
from finefit.nouns.estimate import Estimate
from finefit.nouns.job import Job
from finefit.nouns.knobs import Knobs
from finefit.nouns.ledger import Ledger, Line
from finefit.nouns.machine import Gpu, Machine
from finefit.nouns.method import LoRA
from finefit.nouns.model import Model
from finefit.nouns.plan import Plan
from finefit.nouns.range import Reason, around
from finefit.nouns.receipt import PhaseGap, Receipt
from finefit.units import GIB, MIB

LENGTHS = Reason("lengths", 0, 2 * GIB, "derived", "[/y] because")
CONTEXT = Reason("context", GIB // 2, GIB, "guessed", "nobody knows")


@pytest.fixture
def estimate() -> Estimate:
    return Estimate(
        model=Model(id="[bold]org/model[/bold]", config={"model_type": "llama", "num_hidden_layers": 2}),
        method=LoRA(target_modules=("q_proj", "v_proj")),
        knobs=Knobs(max_length=2048),
        machine=Machine(Gpu("GeForce RTX 4090", 24 * GIB, (8, 9))),
        ledger=Ledger(
            peak_bytes=10 * GIB,
            peak_phase="backward",
            phases={"load": 6 * GIB, "forward": 8 * GIB, "backward": 10 * GIB},
            lines=(Line("weights", 6 * GIB, "load", "every weight"), Line("rest", 4 * GIB, "forward", "[/x] why")),
            parameters=3_212_749_824,
            trainable_parameters=24_313_856,
            reserved=around(11 * GIB, (LENGTHS,)),
            device=around(12 * GIB, (LENGTHS, CONTEXT)),
            smallest_bytes=11 * GIB,
        ),
        source="rehearsal",
        stack={"torch": "2.13.0", "trl": "1.16.0"},
        notes=("a note",),
        seconds=3.5,
    )


@pytest.fixture
def plan(estimate: Estimate) -> Plan:
    return Plan(
        job=Job(model="org/model", data="rows.jsonl"),
        model=estimate.model,
        method=estimate.method,
        knobs=replace(estimate.knobs, gradient_checkpointing=1),
        machine=estimate.machine,
        ledger=estimate.ledger,
        data=DataFacts(100, 10, 5, 20, 90, 2000, 900, 33),
        steps=7,
        stack=estimate.stack,
        notes=(),
        orders={},
    )


@pytest.fixture
def receipt() -> Receipt:
    return Receipt(
        run="job-1",
        model="org/model",
        method="lora",
        machine="cpu",
        phases=(PhaseGap("load", 100 * MIB, 100 * MIB), PhaseGap("resident", 5, 0)),
        peak=PhaseGap("peak", 303 * MIB, 300 * MIB),
        measured_by="recorder",
        rss_peak_bytes=900 * MIB,
        device_peak_bytes=None,
        train_loss_first=4.25,
        train_loss_last=float("nan"),
        eval_loss_before=None,
        eval_loss_after=None,
        steps=7,
        train_seconds=65.0,
        tokens_per_second=812.4,
        stack={"torch": "2.13.0"},
        seed=42,
        hashes={"data": "abc"},
    )
