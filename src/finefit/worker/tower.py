"""The vision tower of a model: all that is neither its language model nor its head, so also what merges and projects.

Knows: which modules these are, by transformers' own `get_decoder`; freezing them, and checkpointing their layers apart
from the language model's. Does not know: a tower trained without what projects it, or the other way round.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer


def tower_modules(model: Any) -> Iterator[tuple[str, nn.Module]]:
    """With their names; nothing in a model of language alone."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    decoder, head = base.get_decoder(), base.get_output_embeddings()
    if decoder is None or decoder is base:
        return
    language = {id(module) for part in (decoder, head) if part is not None for module in part.modules()}
    around = {id(module) for _, module in base.named_modules() if decoder in list(module.modules())}
    for name, module in base.named_modules():
        if id(module) not in language | around:
            yield name, module


def freeze(model: Any) -> None:
    for _, module in tower_modules(model):
        module.requires_grad_(False)


def without_tower(model: Any, peft: dict[str, Any]) -> dict[str, Any]:
    """LoraConfig's arguments for adapters in the language model alone: PEFT's `all-linear` reaches the tower too."""
    return peft | {"exclude_modules": [name for name, _ in tower_modules(model)]}


def checkpoint_tower(model: Any, checkpointed: bool) -> None:
    """Where transformers' switch was on already; it sets every layer alike."""
    for _, module in tower_modules(model):
        if isinstance(module, GradientCheckpointingLayer):
            module.gradient_checkpointing = checkpointed
