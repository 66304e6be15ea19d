"""Quantised base weights: loaded by transformers through bitsandbytes, or as fake tensors of the same layout.

In a rehearsal the modules are bitsandbytes' own, and so are their forward and backward; only the weights are stand-ins:
a packed tensor and its statistics, with the shapes that `bitsandbytes.functional.quantize_4bit` and
`int8_vectorwise_quant` give them (bitsandbytes 0.50).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from peft import prepare_model_for_kbit_training
from torch import nn
from transformers import BitsAndBytesConfig
from transformers.quantizers import AutoHfQuantizer

from .bends.cpu_packing import keep_trainable_layout

NESTED_BLOCK = 256
"""Statistics that share a statistic of their own, with double quantisation."""


def bnb_config(words: dict[str, Any]) -> BitsAndBytesConfig:
    compute = words.get("bnb_4bit_compute_dtype")
    return BitsAndBytesConfig(**words | ({"bnb_4bit_compute_dtype": getattr(torch, compute)} if compute else {}))


def take_packing(config: Any) -> bool:
    """Takes away what a checkpoint says of its own quantisation; returns whether it is quantised already."""
    found = [holder for holder in (config, config.get_text_config()) if hasattr(holder, "quantization_config")]
    for holder in {id(holder): holder for holder in found}.values():
        del holder.quantization_config
    return bool(found)


def prepared(model: Any) -> Any:
    """PEFT's preparation: all that is not quantised becomes float32 and frozen. Blocks are checkpointed elsewhere."""
    return prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)


def quantize_empty(model: Any, words: dict[str, Any]) -> Any:
    """A model on the meta device, its linear layers replaced as `from_pretrained` would."""
    quantizer = AutoHfQuantizer.from_config(bnb_config(words), pre_quantized=False)
    quantizer._process_model_before_weight_loading(model, device_map=None)
    quantizer._process_model_after_weight_loading(model)
    return keep_trainable_layout(model).requires_grad_(False)


def is_quantized(module: nn.Module) -> bool:
    return type(module).__name__ in ("Linear4bit", "Linear8bitLt") and hasattr(module, "source_cls")


def hidden_tensors(model: nn.Module) -> Iterator[torch.Tensor]:
    """What belongs to quantised weights and is neither parameter nor buffer: their statistics."""
    for module in model.modules():
        if not is_quantized(module):
            continue
        state: Any = getattr(module.weight, "quant_state", None) or getattr(module, "quant_state", None)
        if state is not None:
            nested = state.state2
            found = [state.absmax, state.code, state.offset, nested and nested.absmax, nested and nested.code]
        else:
            found = [module.state.CB, module.state.SCB, getattr(module.weight, "SCB", None)]  # type: ignore[union-attr]
        yield from (tensor for tensor in found if isinstance(tensor, torch.Tensor))


def fake_weight(module: Any) -> nn.Parameter:
    """The stand-in for a quantised weight on the meta device; call it inside a fake mode."""
    return _fake_4bit(module) if type(module).__name__ == "Linear4bit" else _fake_8bit(module)


def _fake_4bit(module: Any) -> nn.Parameter:
    from bitsandbytes.functional import QuantState

    weight = module.weight
    elements, storage = weight.numel(), weight.quant_storage
    blocks = -(-elements // weight.blocksize)
    nested: dict[str, Any] = {}
    if weight.compress_statistics:
        state2 = QuantState(
            absmax=torch.empty(-(-blocks // NESTED_BLOCK)),
            blocksize=NESTED_BLOCK,
            code=torch.empty(256),
            dtype=torch.float32,
        )
        nested = {"offset": torch.empty(()), "state2": state2}
    state = QuantState(
        absmax=torch.empty(blocks, dtype=torch.uint8 if nested else torch.float32),
        shape=weight.shape,
        code=torch.empty(16),
        blocksize=weight.blocksize,
        quant_type=weight.quant_type,
        dtype=module.compute_dtype,
        **nested,
    )
    packed = torch.empty(((elements + 1) // (2 * storage.itemsize), 1), dtype=storage)
    parameter = nn.Parameter(packed, requires_grad=False)
    for name in ("blocksize", "compress_statistics", "quant_type", "quant_storage"):
        setattr(parameter, name, getattr(weight, name))
    parameter.quant_state = module.quant_state = state  # type: ignore[attr-defined]
    parameter.bnb_quantized = True  # type: ignore[attr-defined]
    return parameter


def _fake_8bit(module: Any) -> nn.Parameter:
    weight = nn.Parameter(torch.empty(module.weight.shape, dtype=torch.int8), requires_grad=False)
    weight.CB = weight.SCB = None  # type: ignore[attr-defined]
    weight.has_fp16_weights = False  # type: ignore[attr-defined]
    module.state.CB, module.state.SCB = weight.data, torch.empty(weight.shape[0])
    return weight
