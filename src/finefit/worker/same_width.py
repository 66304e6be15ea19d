"""What the processor cannot pretend, by something of the same size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .preferences import task_of


def at_the_same_width(orders: dict[str, Any]) -> dict[str, Any]:
    """float16 becomes bfloat16 (Accelerate refuses fp16 without a GPU; both have two bytes), and the flash-attention
    package becomes torch's own flash kernel (`rules/attention.py` keeps for backward what both keep).
    """
    model, task = _in_bfloat16(orders["model"]), task_of(orders)
    if model["dtype"] == "float16":
        model["dtype"] = "bfloat16"
    if model["attn_implementation"] == "flash_attention_2":
        model["attn_implementation"] = "sdpa"
    trainer = dict(orders["trainer"])
    trainer["bf16"] = trainer["bf16"] or trainer["fp16"]
    trainer["fp16"] = False
    return orders | {"model": model, "trainer": trainer, "task": _in_bfloat16(task)}


def _in_bfloat16(words: Mapping[str, Any]) -> dict[str, Any]:
    """Of a model, or of what it is compared with: 4 bits are multiplied in the other half."""
    quantization = words.get("quantization")
    if not quantization or quantization.get("bnb_4bit_compute_dtype") != "float16":
        return dict(words)
    return {**words, "quantization": quantization | {"bnb_4bit_compute_dtype": "bfloat16"}}
