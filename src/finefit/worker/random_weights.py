"""A model with random weights where it will train, built as a loaded one is: tensor by tensor, in the model's order.

Knows: memory does not depend on the values, so random ones measure what trained ones would. Quantised weights are
really quantised, by bitsandbytes, one layer after another; before them transformers' own block as large as all of them
is taken and given back, after them PEFT's casts are made, as `build.load_model` has it.
Does not know: what reading files in several threads changes in the order of weights; nothing is read here.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers.modeling_utils import caching_allocator_warmup
from transformers.quantizers import AutoHfQuantizer

from .bends.cpu_packing import keep_trainable_layout
from .build import empty_model, read_config
from .quantized import bnb_config, is_quantized, prepared

SPREAD = 0.02
"""Standard deviation of the quantised weights: transformers' own for all others (`initializer_range`)."""


def random_model(orders: dict[str, Any], device: str) -> Any:
    """`orders` are those of the model. Only what `build.empty_model` left empty is given values."""
    words = orders["quantization"]
    model: Any = empty_model(orders | {"prepare": False}, read_config(orders))
    if words:
        _warm_up(model, words, device)
    made: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
    dtype = getattr(torch, orders["dtype"])
    for module in model.modules():
        if is_quantized(module):
            module.weight = _quantized(module, dtype, device)
            module._is_hf_initialized = True
        for table in (module._parameters, module._buffers):
            for name, tensor in table.items():
                if tensor is not None and tensor.device.type == "meta":
                    table[name] = _filled(tensor, device, made)
    model.initialize_weights()
    return keep_trainable_layout(prepared(model)) if words and orders["prepare"] else model


def _warm_up(model: Any, words: dict[str, Any], device: str) -> None:
    """What `from_pretrained` does first where weights are quantised on the GPU; nothing on a processor."""
    quantizer = AutoHfQuantizer.from_config(bnb_config(words), pre_quantized=False)
    caching_allocator_warmup(model, dict.fromkeys(model.state_dict(), device), quantizer)


def _filled(empty: torch.Tensor, device: str, made: dict[int, tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
    """Of the same shape on the device, zero until the model's own initialisation comes; tied ones stay tied."""
    if id(empty) not in made:
        values = torch.empty_strided(empty.size(), empty.stride(), dtype=empty.dtype, device=device).zero_()
        if isinstance(empty, nn.Parameter):
            values = nn.Parameter(values, requires_grad=empty.requires_grad)
        made[id(empty)] = (values, empty)  # `empty` is kept, so that its id stays its own
    return made[id(empty)][0]


def _quantized(module: Any, dtype: torch.dtype, device: str) -> nn.Parameter:
    """bitsandbytes quantises a weight when it is moved to where it stays."""
    empty = module.weight
    values = torch.empty(empty.shape, dtype=dtype, device=device).normal_(std=SPREAD)
    words = {name: value for name, value in vars(empty).items() if not name.startswith("_")}
    weight: Any = type(empty)(values, requires_grad=False, **words)
    quantized: nn.Parameter = weight._quantize(torch.device(device))
    return quantized
