"""A configuration with fewer layers, so that a rehearsal of a few stands for many; and whether they may."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from .stage import blocks_of

NUMBER_LISTS = ("mlp_only_layers", "full_attn_idxs")
"""Configuration keys that list the numbers of layers."""


def keep_layers(config: Any, kept: Sequence[int]) -> None:
    """Cuts the text model to these of its layers, or as many as they are: lists with one entry a layer are cut alike.
    The same layer may be kept twice."""
    text = config.get_text_config()
    before = text.num_hidden_layers
    for name, value in list(vars(text).items()):
        if name in NUMBER_LISTS and value:
            setattr(text, name, [place for place, layer in enumerate(kept) if layer in value])
        elif isinstance(value, list) and len(value) == before:
            setattr(text, name, [value[layer] for layer in kept])
    text.num_hidden_layers = len(kept)


def are_alike(model: nn.Module, kinds: str) -> bool:
    """Whether the layers of one letter are built alike: of the same modules, parameters and settings. The letters are
    what `finefit.lower` reads in the configuration."""
    facts = [_facts(block) for block in blocks_of(model)]
    numbers = {name for name in facts[0] if all(fact.get(name) == place for place, fact in enumerate(facts))}
    seen: dict[str, dict[Fact, Any]] = {}
    for letter, fact in zip(kinds, facts, strict=True):
        plain = {name: value for name, value in fact.items() if name not in numbers}
        if seen.setdefault(letter, plain) != plain:
            return False
    return True


Fact = tuple[str, str]
"""(module, what of it)."""


def _facts(block: nn.Module) -> dict[Fact, Any]:
    """All that may tell a layer from others; some of it is the layer's own number."""
    found: dict[Fact, Any] = {}
    for name, module in block.named_modules():
        found[name, "class"] = type(module).__name__
        found |= {(name, key): tuple(value.shape) for key, value in module.named_parameters(recurse=False)}
        settings = {key: value for key, value in vars(module).items() if isinstance(value, bool | int | float | str)}
        found |= {(name, key): value for key, value in settings.items()}
    return found
