"""Two real processes of this processor, over gloo: what a run on several ranks computes, holds and leaves behind."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from finefit.catalog.deepspeed import auto_buckets
from finefit.lower.ranks import of_ranks
from finefit.nouns.engine import DDP, DeepSpeed, Engine, Offload, ZeroStage
from finefit.nouns.knobs import Knobs

pytestmark = pytest.mark.xdist_group("ranks")

NEEDS_DEEPSPEED = pytest.mark.skipif(find_spec("deepspeed") is None, reason="DeepSpeed is an extra: '.[deepspeed]'")
RANKS, HIDDEN, STEPS = 2, 32, 12
CLOSE = 2e-4
"""Of losses near 4: sums in another order, twelve steps at a learning rate of 0.01."""

NewRun = Callable[..., Any]


def zero(stage: ZeroStage, offload: Offload = "none") -> Engine:
    return DeepSpeed(RANKS, stage, offload, auto_buckets(HIDDEN, stage))


def on_ranks(orders: dict[str, Any], engine: Engine) -> dict[str, Any]:
    """The orders of one process, for two: the same rows in the same step."""
    trainer = orders["trainer"]
    trainer |= {"gradient_accumulation_steps": trainer["gradient_accumulation_steps"] // RANKS, "max_grad_norm": 1.0}
    knobs = Knobs(
        max_length=0,
        per_device_train_batch_size=trainer["per_device_train_batch_size"],
        gradient_accumulation_steps=trainer["gradient_accumulation_steps"],
        dtype="float32",
        mixed_precision="no",
        optim=trainer["optim"],
    )
    return of_ranks(orders, engine, knobs, has_compiler=False)


@pytest.fixture(scope="module")
def run_on(new_run: NewRun, orders: Callable[..., dict[str, Any]]) -> Callable[..., Any]:
    """Without dropout, whose random numbers are each rank's own."""

    def make(engine: Engine | None, **changes: Any) -> Any:
        told = orders(**changes)
        if told["peft"] is not None:
            told["peft"] |= {"lora_dropout": 0.0}
        return new_run(**(told if engine is None else on_ranks(told, engine)))

    return make


ENGINES = {
    "ddp": DDP(RANKS),
    "zero 1": zero(1),
    "zero 2": zero(2),
    "zero 3": zero(3),
    "zero 2, offloaded": zero(2, "optimizer"),
    "zero 3, all offloaded": zero(3, "all"),
}

@pytest.mark.parametrize("name", ENGINES)
def test_curve(name: str, run_on: Any) -> None:
    alone = run_on(None)
    assert alone.finish() == 0
    run = run_on(ENGINES[name])
    t=time.time()
    code = run.finish()
    print(time.time()-t)
    print(run.path)
    if code: print(run.path.with_suffix(".log").read_text()[-5000:])
    for e in run.events():
        if e["event"] not in("step","loaded"): print(e)
    a=alone.curve(); b=run.curve()
    for s in a: print(s,a[s],b.get(s))
    print([e["loss"] for e in alone.events("eval")])
    assert code==0
