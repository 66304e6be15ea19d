"""bitsandbytes asks how many columns of a tensor have outliers, which a fake tensor cannot say: none has.

`int8_vectorwise_quant` and `int8_mixed_scaled_mm` (0.50, `_ops.py`) have shape functions with a size of their own for
that number, which only exists where sizes are symbols. Of real models a hundredth of the columns at most has outliers,
each copied in the input's precision: too little to matter. Ends when the shape functions know a number.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

QUANTISE, MULTIPLY = "bitsandbytes.int8_vectorwise_quant.default", "bitsandbytes.int8_mixed_scaled_mm.default"


class NoOutliers(TorchDispatchMode):
    """Enter it just above the fake mode."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        match str(func):
            case name if name == QUANTISE:
                quantised, maxima, _ = func(args[0])
                return quantised, maxima, torch.empty(0, dtype=torch.int64)
            case name if name == MULTIPLY:
                inputs, quantised, weight = args[:3]
                return inputs.new_empty((*quantised.shape[:-1], weight.shape[0])), inputs.new_empty(0)
            case _:
                return func(*args, **(kwargs or {}))
