"""Small recipes, rehearsed in this process."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from typing import Any

from finefit.nouns.recording import Recording
from finefit.worker import rehearse
from finefit.worker.bends.foreach import multi_tensor_for_fake_tensors
from finefit.worker.bends.tracing import fake_tensors_are_not_tracing
from finefit.worker.same_width import at_the_same_width

fake_tensors_are_not_tracing()
multi_tensor_for_fake_tensors()

SMALL = {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": None,
    "eos_token_id": 0,
}
TWICE: dict[str, Any] = {"trainer": {"gradient_accumulation_steps": 2}, "rehearsal": {"accumulation": 2}}
"""Of two micro-batches, where a recipe is of one."""
LORA = {"r": 8, "lora_alpha": 16, "lora_dropout": 0.0, "target_modules": "all-linear"}


def orders(model_type: str = "llama", **changes: Any) -> dict[str, Any]:
    """A small recipe on the processor; `changes` are merged into it, nested dicts too."""
    made: dict[str, Any] = {
        "device": "cpu",
        "model": {
            "config": {**SMALL, "model_type": model_type},
            "folder": None,
            "dtype": "float32",
            "attn_implementation": "sdpa",
            "trust_remote_code": False,
            "quantization": None,
            "prepare": True,
        },
        "peft": dict(LORA),
        "adapter_dtype": None,
        "trainer": {
            "per_device_train_batch_size": 2,
            "gradient_accumulation_steps": 1,
            "bf16": False,
            "fp16": False,
            "optim": "adamw_torch",
            "report_to": "none",
            "disable_tqdm": True,
            "gradient_checkpointing": False,
            "max_length": None,
        },
        "gradient_checkpointing": 0,
        "loss": "fused",
        "data": None,
        "rehearsal": {
            "length": 96,
            "kinds": "aaa",
            "accumulation": 1,
            "layers": [None],
            "compute_capability": [8, 0],
            "attention_kernel": "auto",
            "hold_outputs": "no",
        },
    }
    return merged(made, changes)


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in changes.items():
        inner = result.get(key)
        result[key] = merged(inner, value) if isinstance(value, dict) and isinstance(inner, dict) else value
    return result


def rehearsed(order: dict[str, Any], few: list[Any] | None = None) -> Recording:
    """`few`: which layers, or how many of the first ones, and how many of them are checkpointed."""
    kept = [range(few[0]), few[1]] if few and isinstance(few[0], int) else few
    with contextlib.redirect_stdout(io.StringIO()):
        return Recording.from_json(rehearse._rehearse(at_the_same_width(order), kept)[0])
