"""PEFT's DoRA copies a quantised weight and asks for its numbers, by the name of its class: an empty one has neither.

PEFT 0.21, tuners/lora/dora.py: `update_layer` copies a 4-bit layer with `deepcopy`, which bitsandbytes (0.50,
`Params4bit.__deepcopy__`) cannot do on the meta device; it and `forward` ask `dequantize_module_weight`, which knows
`Params4bit` and `Int8Params`, and takes a fake tensor for a weight that is whole already. Both are answered here; what
DoRA makes of a weight, in which dtype and how often, is PEFT's own.

Of what that is, on a GPU as on a processor: each forward, recomputed ones too, multiplies the adapter's two matrices by
way of a unit matrix as wide as the layer's input (`torch.eye`), dequantises the whole weight, casts it to the dtype of
the input and takes the norm of its sum with the product; none of it is kept. With dropout the layer's product is made
once more, of the input that was dropped (`F.linear`), and keeps its weight until backward: of a quantised layer that is
a whole copy. The cache of norms is off (`ENABLE_DORA_CACHING`), also where a model writes.
Apart on a GPU: the dtype of the norm under autocast (rules/autocast.py), what an 8-bit weight takes to become whole
(rules/bitsandbytes.py), and that a quantised weight stays the object that it is. On a processor
`dequantize_module_weight` puts a copy in its place, which lacks an 8-bit weight's scales: the second forward fails.
Ends when a `Params4bit` can be made of a fake tensor.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from peft.tuners.lora import dora
from peft.utils.integrations import dequantize_bnb_weight
from torch._subclasses.fake_tensor import FakeTensor

QUANTIZED = ("Linear4bit", "Linear8bitLt")
"""bitsandbytes' layers, by their names: they are not loaded for a model that has none."""
_DEQUANTIZED = dora.dequantize_module_weight


@contextmanager
def dora_of_empty_weights() -> Iterator[None]:
    """Inside, adapters may be added beside empty weights, and run beside fake ones."""
    with (
        patch.object(dora, "dequantize_module_weight", _dequantized),
        patch.object(dora, "deepcopy", lambda layer: layer),
    ):
        yield


def _dequantized(layer: Any) -> torch.Tensor:
    weight = layer.weight
    if type(layer).__name__ not in QUANTIZED:
        return _DEQUANTIZED(layer)
    if weight.device.type == "meta":
        return torch.empty(weight.shape, dtype=getattr(layer, "compute_dtype", None), device="meta")
    if isinstance(weight, FakeTensor) and hasattr(weight, "quant_state"):
        from bitsandbytes.functional import dequantize_4bit

        return dequantize_4bit(weight.data, weight.quant_state)
    return dequantize_bnb_weight(weight, state=layer.state)
