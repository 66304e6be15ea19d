"""What the worker is told: plain dicts in the words of transformers, TRL and PEFT."""

from __future__ import annotations

from typing import Any, assert_never

from finefit.nouns.images import Images
from finefit.nouns.job import Job
from finefit.nouns.knobs import Knobs
from finefit.nouns.loop import Loop
from finefit.nouns.machine import Machine
from finefit.nouns.method import Full, LoRA, Method, QLoRA
from finefit.nouns.model import Model
from finefit.nouns.packed import Packed, packed_in
from finefit.tape.layers import few_of
from finefit.tape.sizes import DOCUMENTS

from .images import images_of, words_of
from .layers import layers_of, told

LEARNING_RATE = {Full: 1e-5, LoRA: 1e-4, QLoRA: 1e-4}
"""Where a job names none. Derived from the defaults that popular recipes agree on."""
PREFERENCE_RATE = {Full: 1e-6, LoRA: 5e-6, QLoRA: 5e-6}
"""The same, of preferences: what DPOConfig has, and TRL's own command with LoRA (1.16, trl/scripts/dpo.py)."""

ADAPTER_DTYPE = "float32"
"""PEFT's own choice beside half-precision weights. TRL takes bfloat16 beside quantised ones, which loses small updates
and is not restored when a run is resumed."""

REHEARSED_ACCUMULATION = 2
"""Micro-batches of one optimizer step that a rehearsal goes through: the second meets the gradients of the first, and
so do all that follow."""


def base_orders(
    model: Model, method: Method, knobs: Knobs, machine: Machine, trust_remote_code: bool
) -> dict[str, Any]:
    """What a rehearsal without a job and a run have in common."""
    return {
        "device": "cpu" if machine.is_cpu else "cuda",
        "model": {
            "config": dict(model.config),
            "folder": model.folder,
            "dtype": knobs.dtype,
            "attn_implementation": knobs.attn_implementation,
            "trust_remote_code": trust_remote_code,
            "quantization": quantization_of(method, knobs, packed_in(model)),
            "prepare": True,
        },
        "peft": _peft(method),
        "adapter_dtype": None if isinstance(method, Full) else ADAPTER_DTYPE,
        "trainer": {
            "per_device_train_batch_size": knobs.per_device_train_batch_size,
            "gradient_accumulation_steps": knobs.gradient_accumulation_steps,
            "optim": knobs.optim,
            "use_liger_kernel": knobs.use_liger_kernel,
            "bf16": knobs.mixed_precision == "bf16",
            "fp16": knobs.mixed_precision == "fp16",
            "use_cpu": machine.is_cpu,
            "max_length": None,  # rows are never cut: a row that is too long is refused before
            "gradient_checkpointing": False,  # set on the blocks themselves: the first n of them
            "report_to": "none",
            "disable_tqdm": True,
            **({"padding_free": True} if knobs.packing else {}),
        },
        "gradient_checkpointing": knobs.gradient_checkpointing,
        "tower": {"frozen": knobs.freeze_vision_tower, "checkpointed": knobs.vit_gradient_checkpointing},
        "loss": knobs.loss,
        "data": None,
        "environment": _environment(knobs, machine),
    }


ALLOCATOR_SETTINGS = "PYTORCH_CUDA_ALLOC_CONF"
"""torch 2.6 to 2.13 read it, and read it first: those that know PYTORCH_ALLOC_CONF call this its older name."""


def _environment(knobs: Knobs, machine: Machine) -> dict[str, str]:
    """Variables of the worker's process, which torch reads as it starts. What was planned is said, on or off."""
    if machine.is_cpu:
        return {}
    return {ALLOCATOR_SETTINGS: f"expandable_segments:{knobs.expandable_segments}"}


def job_orders(job: Job, model: Model, method: Method, knobs: Knobs, machine: Machine) -> dict[str, Any]:
    """What a run is told."""
    orders = base_orders(model, method, knobs, machine, job.trust_remote_code)
    orders["data"] = {"train": job.data, "eval": job.eval_data}
    orders["max_length"] = job.max_length
    orders["positions"] = model.positions
    orders["trainer"] |= {
        "num_train_epochs": job.num_train_epochs,
        "max_steps": job.max_steps,
        "learning_rate": learning_rate_of(job, method),
        "lr_scheduler_type": job.lr_scheduler_type,
        "warmup_steps": job.warmup_steps,
        "weight_decay": job.weight_decay,
        "max_grad_norm": job.max_grad_norm,
        "assistant_only_loss": job.assistant_only_loss,
        "seed": job.seed,
        "data_seed": job.seed,
        "logging_steps": job.logging_steps,
        "save_strategy": "steps",
        "save_steps": job.save_steps,
        "save_total_limit": None,  # finefit keeps `job.save_total_limit` complete checkpoints itself
        "eval_strategy": "steps" if job.eval_data and job.eval_steps else "no",
        "eval_steps": job.eval_steps,
        "per_device_eval_batch_size": knobs.per_device_train_batch_size,
    }
    orders["save_total_limit"] = job.save_total_limit
    if job.from_scratch:
        orders["from_scratch"] = True
    if job.task == "dpo":
        orders["trainer"]["beta"] = job.beta
    return orders


def learning_rate_of(job: Job, method: Method) -> float:
    usual = PREFERENCE_RATE if job.task == "dpo" else LEARNING_RATE
    return usual[type(method)] if job.learning_rate is None else job.learning_rate


def rehearsal_orders(
    orders: dict[str, Any],
    model: Model,
    knobs: Knobs,
    machine: Machine,
    loop: Loop,
    *,
    whole: bool = False,
    images: Images | None = None,
) -> dict[str, Any]:
    """`orders`, rehearsed: a few layers where they stand for all, every layer where they do not (`whole`)."""
    layers = layers_of(model, knobs)
    flash = knobs.attn_implementation == "flash_attention_2"
    capability = (8, 0) if machine.gpu is None else machine.gpu.compute_capability
    return orders | {
        "model": orders["model"] | {"prepare": loop.kbit_preparation},
        "adapter_dtype": loop.adapter_dtype or orders["adapter_dtype"],
        "rehearsal": {
            "length": knobs.max_length,
            "accumulation": min(knobs.gradient_accumulation_steps, REHEARSED_ACCUMULATION),
            "kinds": layers.lower(),
            "layers": told(layers, () if whole else few_of(layers)),
            "takes": [],
            "compute_capability": list(capability),
            "hold_outputs": loop.hold_outputs,
            "attention_kernel": "flash" if flash else loop.attention_kernel,
            **({"documents": DOCUMENTS} if knobs.packing else {}),
            "images": None if images is None else words_of(images_of(model, images, knobs.max_length)),
        },
    }


def quantization_of(method: Method, knobs: Knobs, packed: Packed | None) -> dict[str, Any] | None:
    """BitsAndBytesConfig's arguments. What is multiplied in, is the dtype that the weights would have."""
    others = {} if packed is None else dict(packed.others)
    match method:
        case Full() | LoRA():
            return None
        case QLoRA(bits=8):
            return {"load_in_8bit": True, **others}
        case QLoRA():
            return {
                "load_in_4bit": True,
                "bnb_4bit_quant_type": method.quant_type,
                "bnb_4bit_use_double_quant": method.double_quant,
                "bnb_4bit_compute_dtype": knobs.dtype,
                **others,
            }
        case _:
            assert_never(method)


def _peft(method: Method) -> dict[str, Any] | None:
    match method:
        case Full():
            return None
        case LoRA() | QLoRA():
            targets = method.target_modules
            return {
                "r": method.r,
                "lora_alpha": method.alpha,
                "lora_dropout": method.dropout,
                "target_modules": targets if isinstance(targets, str) else list(targets),
                **{key: True for key in ("use_dora", "use_rslora") if getattr(method, key)},
            }
        case _:
            assert_never(method)
