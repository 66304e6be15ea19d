"""Orders of one process, for two ranks under an engine: the same rows in the same step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib.util import find_spec
from typing import Any

import pytest

from finefit.catalog.deepspeed import auto_buckets
from finefit.lower.ranks import of_ranks
from finefit.nouns.engine import DDP, DeepSpeed, Engine, Offload, ZeroStage
from finefit.nouns.knobs import Knobs

NEEDS_DEEPSPEED = pytest.mark.skipif(find_spec("deepspeed") is None, reason="DeepSpeed is an extra: '.[deepspeed]'")
RANKS, HIDDEN = 2, 32

Orders = dict[str, Any]


def zero(stage: ZeroStage, offload: Offload = "none") -> Engine:
    return DeepSpeed(RANKS, stage, offload, auto_buckets(HIDDEN, stage))


ENGINES: Mapping[str, Engine] = {
    "ddp": DDP(RANKS),
    "zero 1": zero(1),
    "zero 2": zero(2),
    "zero 3": zero(3),
    "zero 3, all offloaded": zero(3, "all"),
    "zero 2, optimizer offloaded": zero(2, "optimizer"),
}


def of(*names: str) -> list[Any]:
    """Engines by their names, each as a case."""
    return [pytest.param(name, marks=NEEDS_DEEPSPEED if "zero" in name else ()) for name in names]


def knobs_of(orders: Orders) -> Knobs:
    trainer = orders["trainer"]
    return Knobs(
        max_length=44,
        per_device_train_batch_size=trainer["per_device_train_batch_size"],
        gradient_accumulation_steps=trainer["gradient_accumulation_steps"],
        gradient_checkpointing=orders["gradient_checkpointing"],
        dtype="float32",
        mixed_precision="no",
        optim=trainer["optim"],
    )


def on_ranks(orders: Orders, engine: Engine) -> Orders:
    """The orders of one process, for two: the same rows in the same step."""
    trainer = orders["trainer"]
    half = trainer["gradient_accumulation_steps"] // RANKS
    orders["trainer"] = trainer | {"gradient_accumulation_steps": half, "max_grad_norm": 1.0}
    return of_ranks(orders, engine, knobs_of(orders), has_compiler=False)


def each_once(new_run: Callable[..., Any], told: Callable[..., Orders]) -> Callable[..., Any]:
    """Finished runs: under an engine, or (None) of one process. `told`: the orders of an engine, or of None."""

    @cache
    def run(name: str | None, **changes: Any) -> Any:
        made = new_run(**told(None if name is None else ENGINES[name], **changes))
        assert made.finish() == 0, made.log.read_text()[-3000:]
        return made

    return run
