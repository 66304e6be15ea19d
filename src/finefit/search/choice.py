"""The knobs a job did not pin.

Knows today: the defaults of transformers and TRL, made to suit the machine. Does not know yet: which of the recipes
that fit is the fastest.
"""

from __future__ import annotations

from dataclasses import replace

from finefit.catalog.attention import WITHOUT_SDPA
from finefit.errors import BadInput, Problem
from finefit.nouns.job import Job
from finefit.nouns.knobs import USUAL_LENGTH, Checkpointing, Dtype, Knobs, MixedPrecision
from finefit.nouns.machine import Machine
from finefit.nouns.model import Model

from .packing import refuse_mixed

USUAL_MICRO_BATCH = 8
"""TRL's default `per_device_train_batch_size`."""


def choose(job: Job, machine: Machine) -> Knobs:
    """Raises `BadInput` where a plan must have decided before."""
    if job.packing == "auto":
        why = "a plan weighs packing by the rows: which of them share a step is another than without"
        raise BadInput(Problem("packing auto is a question", where="packing", why=why, hint="finefit plan, or true"))
    micro_batch = _micro_batch(job, machine)
    dtype, mixed_precision = _precision(job, machine)
    return Knobs(
        max_length=job.max_length or 0,  # known when the rows are tokenised
        per_device_train_batch_size=micro_batch,
        gradient_accumulation_steps=max(1, job.global_batch_size // (micro_batch * machine.count)),
        gradient_checkpointing=_checkpointing(job, machine),
        dtype=dtype,
        mixed_precision=mixed_precision,
        optim=job.optim or "adamw_torch_fused",
        attn_implementation=job.attn_implementation or "sdpa",
        loss=job.loss or "fused",
        use_liger_kernel=job.use_liger_kernel,
        packing=job.packing is True,
        expandable_segments=bool(job.expandable_segments),
        zero_stage=job.zero_stage,
        offload=job.offload or "none",
        fsdp=job.fsdp,
        freeze_vision_tower=job.freeze_vision_tower,
        vit_gradient_checkpointing=job.vit_gradient_checkpointing,
    )


def suited(knobs: Knobs, model: Model) -> tuple[Knobs, tuple[str, ...]]:
    """As the model can run them, and what was changed for it. Raises `BadInput` where it cannot."""
    if knobs.packing:
        refuse_mixed(model)
    _refuse_long(knobs.max_length, model)
    kind = (model.config.get("text_config") or model.config).get("model_type")
    if knobs.attn_implementation != "sdpa" or kind not in WITHOUT_SDPA:
        return knobs, ()
    return replace(knobs, attn_implementation="eager"), (f"{kind} has no sdpa in transformers: attention is eager",)


def usual_length(model: Model, beside: int = 0) -> int:
    """Tokens of a sequence where none are said; `beside`: those that are written after it."""
    return USUAL_LENGTH if model.positions is None else min(USUAL_LENGTH, max(1, model.positions - beside))


def _refuse_long(length: int, model: Model) -> None:
    """Raises `BadInput`."""
    if model.positions is not None and length > model.positions:
        why = f"a sequence of {length:,} tokens would ask for more"
        hint = f"max_length: {model.positions}"
        raise BadInput(Problem(f"{model.id} has {model.positions:,} positions", "max_length", why, hint))


def _micro_batch(job: Job, machine: Machine) -> int:
    """Micro-batch × accumulation × GPUs is the global batch, whatever is pinned."""
    if job.per_device_train_batch_size is not None:
        return job.per_device_train_batch_size
    each = max(1, job.global_batch_size // machine.count)
    if job.gradient_accumulation_steps is not None:
        return max(1, each // job.gradient_accumulation_steps)
    return max(size for size in range(1, min(each, USUAL_MICRO_BATCH) + 1) if each % size == 0)


def _checkpointing(job: Job, machine: Machine) -> Checkpointing:
    """TRL checkpoints every layer; on a processor time is dearer than memory."""
    match job.gradient_checkpointing:
        case "auto":
            return 0 if machine.is_cpu else "all"
        case "none":
            return 0
        case pinned:
            return pinned


def _precision(job: Job, machine: Machine) -> tuple[Dtype, MixedPrecision]:
    """Half precision where the GPU computes in it; trained weights stay float32 where the half has few exponents."""
    dtype: Dtype
    mixed: MixedPrecision
    if machine.gpu is None:
        dtype, mixed = "float32", "no"
    elif machine.gpu.native_bf16:
        dtype, mixed = "bfloat16", "bf16"
    else:
        dtype, mixed = ("float32" if job.method == "full" else "float16"), "fp16"
    return job.dtype or dtype, job.mixed_precision or mixed
