"""What the worker is told of a model that writes."""

from __future__ import annotations

from typing import Any

from finefit.nouns.knobs import Knobs
from finefit.nouns.machine import Machine
from finefit.nouns.method import Method
from finefit.nouns.model import Model
from finefit.nouns.task import Generate
from finefit.tape.layers import Layers

from .orders import base_orders

ANY_GPU = (8, 0)
"""Compute capability where there is no GPU: nothing asks for it."""


def generation_orders(
    model: Model,
    method: Method,
    knobs: Knobs,
    machine: Machine,
    task: Generate,
    layers: Layers,
    *,
    trust_remote_code: bool,
) -> dict[str, Any]:
    """Without what is asked for: `steps`, and `takes` of layers and points. Quantised weights are not prepared for
    training: nothing becomes float32 that transformers loads in another dtype."""
    base = base_orders(model, method, knobs, machine, trust_remote_code)
    flash = knobs.attn_implementation == "flash_attention_2"
    return {
        "device": base["device"],
        "environment": base["environment"],
        "model": base["model"] | {"prepare": False},
        "peft": None if task.base else base["peft"],
        "adapter_dtype": None if task.base else base["adapter_dtype"],
        "trainer": {},
        "generation": {
            "task": {"num_beams": task.num_beams, "cache": task.cache},
            "kinds": layers.lower(),
            "compute_capability": list(ANY_GPU if machine.gpu is None else machine.gpu.compute_capability),
            "attention_kernel": "flash" if flash else "auto",
        },
    }
