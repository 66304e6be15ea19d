"""Optimizers that go through the parameters one by one: a few layers stand for many all the same."""

from __future__ import annotations

from typing import Any

import pytest
from recipes import orders, rehearsed

from finefit.lower.layers import told
from finefit.tape.expand import expand, storages_and_events
from finefit.tape.layers import few_of, kept_of

HALF = {"dtype": "bfloat16", "config": {"num_hidden_layers": 9}}
LAYERS = "A" * 9
RECIPES = {
    "adafactor": {"peft": None, "trainer": {"optim": "adafactor", "bf16": True}},
    "adafactor, adapters": {"trainer": {"optim": "adafactor", "bf16": True}},
    "adafactor, adapters of many ranks": {"peft": {"r": 128}, "trainer": {"optim": "adafactor", "bf16": True}},
    "8 bits": {"peft": None, "trainer": {"optim": "adamw_8bit"}},
}


@pytest.mark.wide(1)
@pytest.mark.parametrize("name", RECIPES)
def test_what_an_optimizer_drops_on_its_way_expands(name: str) -> None:
    """States that are made of nothing, and tensors that live into the next parameter's turn, belong to layers: the few,
    expanded, are the recording of nine."""
    changes: dict[str, Any] = RECIPES[name]
    order = orders(device="cuda", gradient_checkpointing="all", model=HALF, **changes)
    few = few_of(LAYERS)
    expanded = expand([rehearsed(order, each) for each in told(LAYERS, few)], [kept_of(LAYERS, k) for k in few], LAYERS)
    assert expanded is not None
    assert storages_and_events(expanded) == storages_and_events(rehearsed(order))
