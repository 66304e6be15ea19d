"""What a run on several ranks is told beside the orders of one process: the engine, in the words of transformers'
trainer, and how many ranks there are.

Knows: a processor's ranks talk over gloo; there DeepSpeed's own optimizer, which it would compile, is left out. Does
not know: FSDP2 on a processor, where accelerate makes DDP of it (`world/engine_rules.py` refuses it).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_never

from finefit.nouns.engine import DDP, FSDP1, FSDP2, DeepSpeed, Engine
from finefit.nouns.knobs import Knobs

from .accelerate import trainer_words
from .deepspeed import ds_config


def of_ranks(orders: Mapping[str, Any], engine: Engine | None, knobs: Knobs, *, has_compiler: bool) -> dict[str, Any]:
    """`orders`: of one rank, as it was rehearsed; `knobs`: of the run. Without an engine nothing changes."""
    if engine is None:
        return dict(orders)
    on_cpu, trainer, model = orders["device"] == "cpu", dict(orders["trainer"]), dict(orders["model"])
    trainer |= {"optim": knobs.optim, "bf16": knobs.mixed_precision == "bf16", "fp16": knobs.mixed_precision == "fp16"}
    match engine:
        case DDP():
            trainer |= {"ddp_backend": "gloo" if on_cpu else "nccl", "ddp_find_unused_parameters": False}
        case DeepSpeed():
            config = ds_config(engine, knobs, trainer["max_grad_norm"])
            own = {} if has_compiler and not on_cpu else {"zero_force_ds_cpu_optimizer": False}
            trainer |= {"deepspeed": config | own}
        case FSDP2():
            trainer |= trainer_words(engine)
            model |= {"dtype": knobs.dtype}  # its parts are float32, and half only as they are gathered
        case FSDP1():
            raise AssertionError("no plan chooses FSDP1")
        case _:
            assert_never(engine)
    return {**orders, "trainer": trainer, "model": model, "engine": {"name": name_of(engine), "ranks": engine.ranks}}


def name_of(engine: Engine) -> str:
    """As the worker knows it."""
    match engine:
        case DDP():
            return "ddp"
        case DeepSpeed():
            return "deepspeed"
        case FSDP2():
            return "fsdp2"
        case FSDP1():
            return "fsdp1"
        case _:
            assert_never(engine)
