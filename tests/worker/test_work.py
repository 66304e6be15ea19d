"""What is read out of a rehearsal as work, against what torch counts in the real step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from recipes import SMALL, TWICE, orders, rehearsed
from test_rehearsal import real_step
from torch.utils.flop_counter import FlopCounterMode

from finefit.catalog.rates import rates_of
from finefit.estimate.pace.products import products_of, weights_of
from finefit.estimate.pace.setup import Setup
from finefit.nouns.knobs import Knobs
from finefit.nouns.method import Full, LoRA
from finefit.nouns.model import Model
from finefit.tape.born import born
from finefit.tape.digest import Read

STEPS = 2
LENGTH = 96
PRODUCTS = (torch.ops.aten.mm, torch.ops.aten.addmm)
WHOLE: dict[str, Any] = {"loss": "full", **TWICE}
"""torch counts no product into a buffer, as the fused head has."""
ALL: dict[str, Any] = {"gradient_checkpointing": SMALL["num_hidden_layers"]}


def counted(order: dict[str, Any]) -> int:
    """Operations of all matrix products in the real step's two optimizer steps, as torch counts them."""
    with FlopCounterMode(display=False) as counter:
        real_step(order)
    counts = counter.get_flop_counts()["Global"]
    return sum(count for op, count in counts.items() if op in PRODUCTS)


def read(order: dict[str, Any]) -> float:
    """The same, read out of the rehearsal."""
    recording = rehearsed(order)
    config = order["model"]["config"]
    batch = order["trainer"]["per_device_train_batch_size"]
    knobs = Knobs(LENGTH, batch, dtype="float32", mixed_precision="no", loss="full")
    method = Full() if order["peft"] is None else LoRA(r=order["peft"]["r"])
    setup = Setup(Model("small", config), method, knobs, rates_of("A100 SXM4 80GB"))
    weights = weights_of(Read(recording).loaded, setup)
    parts = born(recording)
    return STEPS * sum(
        product.operations for name in ("0", "1") for product in products_of(parts[name], weights, setup)
    )


@pytest.mark.parametrize("checkpointed", [0, SMALL["num_hidden_layers"]])
def test_full_training_multiplies_as_much_as_torch_counts(checkpointed: int) -> None:
    """Every product of forward and backward, and what checkpointed layers do again, to the last operation."""
    order = orders(**WHOLE, peft=None, gradient_checkpointing=checkpointed)
    assert read(order) == counted(order)


def test_adapters_multiply_as_much_as_torch_counts() -> None:
    """Frozen weights have no gradient of their own."""
    order = orders(**WHOLE, **ALL)
    assert read(order) == counted(order)


def test_only_the_first_layers_inputs_are_counted_too_often() -> None:
    """Without checkpoints nothing before the first adapters is trained, and three of its products need no gradient of
    their input."""
    order = orders(**WHOLE)
    hidden = SMALL["hidden_size"]
    keys = hidden // SMALL["num_attention_heads"] * SMALL["num_key_value_heads"]
    rows = LENGTH * order["trainer"]["per_device_train_batch_size"] * order["trainer"]["gradient_accumulation_steps"]
    rank = order["peft"]["r"]
    needless = 2 * rows * hidden * (hidden + 2 * keys + 3 * rank) * STEPS
    assert read(order) - counted(order) == needless
