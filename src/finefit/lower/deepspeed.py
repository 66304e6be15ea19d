"""ds_config.json of a plan, for DeepSpeed 0.19: every size is written out, none is left to `auto`.

    transformers 5.23  integrations/deepspeed.py: what it fills in, it compares here with the trainer's arguments
    accelerate 1.15    accelerator.py: _prepare_deepspeed: beside offload, AdamW becomes DeepSpeed's, on the processor
    deepspeed 0.19.8   runtime/zero/config.py: names and defaults; runtime/engine.py: refuses other optimizers there

Does not know: the optimizer and its schedule. The trainer makes them, and hands them to DeepSpeed.
"""

from __future__ import annotations

from typing import Any

from finefit.nouns.engine import DeepSpeed
from finefit.nouns.knobs import Knobs

HOST = {"device": "cpu", "pin_memory": True}
DEEPSPEEDS_OWN = ("adamw_torch", "adamw_torch_fused", "adagrad", "lion_32bit")
"""Optimizers that become DeepSpeed's on the processor (accelerate 1.15, utils/deepspeed.py:
map_pytorch_optim_to_deepspeed)."""


def ds_config(engine: DeepSpeed, knobs: Knobs, max_grad_norm: float) -> dict[str, Any]:
    """`knobs`: their mixed precision is what is computed in."""
    micro, accumulation = knobs.per_device_train_batch_size, knobs.gradient_accumulation_steps
    return {
        "train_batch_size": micro * accumulation * engine.ranks,
        "train_micro_batch_size_per_gpu": micro,
        "gradient_accumulation_steps": accumulation,
        "gradient_clipping": max_grad_norm,
        "bf16": {"enabled": knobs.mixed_precision == "bf16"},
        "fp16": {"enabled": knobs.mixed_precision == "fp16"},
        "zero_allow_untested_optimizer": True,
        **_on_the_processor(engine, knobs),
        "zero_optimization": _zero(engine),
    }


def _on_the_processor(engine: DeepSpeed, knobs: Knobs) -> dict[str, Any]:
    """Other optimizers step there as they are."""
    is_foreign = engine.offload != "none" and knobs.optim not in DEEPSPEEDS_OWN
    return {"zero_force_ds_cpu_optimizer": False} if is_foreign else {}


def _zero(engine: DeepSpeed) -> dict[str, Any]:
    buckets = engine.buckets
    if engine.stage == 0:
        return {"stage": 0}
    return {
        "stage": engine.stage,
        "reduce_bucket_size": buckets.reduce_bucket_size,
        "overlap_comm": buckets.overlap_comm,
        **(_third(engine) if engine.stage == 3 else {}),
        **({} if engine.offload == "none" else {"offload_optimizer": HOST}),
        **({"offload_param": HOST} if engine.offload == "all" else {}),
    }


def _third(engine: DeepSpeed) -> dict[str, Any]:
    """The whole model is saved, gathered: else each rank saves its part."""
    buckets = engine.buckets
    return {
        "stage3_prefetch_bucket_size": buckets.stage3_prefetch_bucket_size,
        "stage3_param_persistence_threshold": buckets.stage3_param_persistence_threshold,
        "stage3_max_live_parameters": buckets.stage3_max_live_parameters,
        "stage3_max_reuse_distance": buckets.stage3_max_reuse_distance,
        "sub_group_size": buckets.sub_group_size,
        "stage3_gather_16bit_weights_on_model_save": True,
    }
