"""The layers of a LoRA adapter, each merged into one weight at a time by PEFT's own code.

The model around them is on the meta device. A layer gets its real weight, `merge()` of PEFT adds to it (so rsLoRA,
DoRA, transposed weights and embeddings are PEFT's business), and the weight is taken out again.

Knows what cannot be one weight any more, and refuses it by PEFT's name. Does not know adapters that are no LoRA.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, get_peft_model, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from peft.utils import load_peft_weights
from torch import nn

from finefit.errors import RunFailed

REFUSED = {
    "modules_to_save": "whole modules were trained beside the adapter",
    "trainable_token_indices": "single rows of the embeddings were trained beside the adapter",
    "target_parameters": "the adapter is on parameters that are not a layer's weight",
    "layer_replication": "layers are repeated, and share one weight",
    "alora_invocation_tokens": "the adapter works from certain tokens on",
    "arrow_config": "the adapter is chosen token by token",
    "lora_bias": "the adapter has biases of its own",
}
"""PEFT's options (0.21) that leave more, or less, than the weights of layers with something added."""

PREFIX = "base_model.model."
"""PEFT's name of the model inside its own."""


class Adapter:
    """Merges by name; `left` are the layers that have not been."""

    def __init__(self, empty: nn.Module, folder: Path | None) -> None:
        """`empty`: on the meta device. Without a folder there is nothing to merge."""
        self._layers = {} if folder is None else _loaded(empty, folder)
        self.left = set(self._layers)

    def __contains__(self, name: str) -> bool:
        return name.removesuffix(".weight") in self._layers

    def merged(self, name: str, weight: torch.Tensor) -> torch.Tensor:
        """In float32, with the adapter's own delta: rounded once, when it is saved."""
        layer = self._layers[name.removesuffix(".weight")]
        inner = layer.get_base_layer()
        inner.weight = nn.Parameter(weight.to(torch.float32, copy=True), requires_grad=False)
        with torch.no_grad():
            layer.merge()
        merged: torch.Tensor = inner.weight.data
        inner.weight = _placeholder()
        if not torch.isfinite(merged).all():
            raise RunFailed(f"{name} is not finite once it is merged: the adapter is broken")
        self.left.discard(name.removesuffix(".weight"))
        return merged


def _loaded(empty: nn.Module, folder: Path) -> dict[str, Any]:
    config = PeftConfig.from_pretrained(folder)
    refuse(vars(config))
    _refuse_tied(empty, (model := get_peft_model(empty, config)))
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, LoraLayer)}
    for layer in layers.values():
        layer.get_base_layer().weight = _placeholder()  # PEFT puts adapters where their layer is
    weights = load_peft_weights(str(folder), device="cpu")
    added = {key: weight for key, weight in weights.items() if "lora_" in key}  # PEFT saves embeddings beside theirs
    loaded = set_peft_model_state_dict(model, added, low_cpu_mem_usage=True)
    if loaded.unexpected_keys:
        raise RunFailed(f"the adapter has weights that no layer takes: {', '.join(loaded.unexpected_keys[:3])}")
    empty_ones = [name for name, parameter in model.named_parameters() if "lora_" in name and parameter.is_meta]
    if empty_ones:
        raise RunFailed(f"the adapter has no weights for {', '.join(empty_ones[:3])}")
    return {name.removeprefix(PREFIX): layer for name, layer in layers.items()}


def refuse(config: Mapping[str, Any]) -> None:
    if config["peft_type"] != "LORA":
        raise RunFailed(f"an adapter of PEFT's type {config['peft_type']} cannot be merged here: only LORA")
    for option, why in REFUSED.items():
        if config.get(option):
            raise RunFailed(f"the adapter has {option}={config[option]}, which cannot be merged here: {why}")
    if config.get("bias", "none") != "none":
        raise RunFailed(f"the adapter has bias={config['bias']}, which cannot be merged here: biases were trained too")


def _refuse_tied(empty: Any, model: Any) -> None:
    """One weight that is used twice cannot be changed for one use alone."""
    if not empty.config.get_text_config().tie_word_embeddings:
        return
    for layer in (empty.get_input_embeddings(), empty.get_output_embeddings()):
        if isinstance(layer, LoraLayer):
            name = next(name for name, each in model.named_modules() if each is layer).removeprefix(PREFIX)
            raise RunFailed(f"the adapter changes {name}, which is one weight with the other end of the model")


def _placeholder() -> nn.Parameter:
    return nn.Parameter(torch.empty(0), requires_grad=False)
