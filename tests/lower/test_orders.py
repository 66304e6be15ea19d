"""What the worker is told."""

from __future__ import annotations

import pytest

from finefit.lower.orders import base_orders
from finefit.nouns.knobs import Knobs
from finefit.nouns.method import LoRA
from finefit.nouns.model import Model
from finefit.world.gpus import machine_named

MODEL = Model("tiny", {"model_type": "llama", "num_hidden_layers": 2})


@pytest.mark.parametrize("on", [False, True])
def test_the_environment_says_what_was_planned(on: bool) -> None:
    """On or off, whatever the shell says; under the name that every supported torch reads. A processor has none."""
    knobs = Knobs(max_length=8, expandable_segments=on)
    orders = base_orders(MODEL, LoRA(), knobs, machine_named("T4"), False)
    assert orders["environment"] == {"PYTORCH_CUDA_ALLOC_CONF": f"expandable_segments:{on}"}
    assert base_orders(MODEL, LoRA(), knobs, machine_named("cpu"), False)["environment"] == {}
