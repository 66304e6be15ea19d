"""A layer norm's means and deviations have the precision that they are computed in, not that of the input.

torch 2.13: the shape function of `native_layer_norm` (torch/_refs) gives them the input's wherever tensors pretend to
be a processor's. On a GPU they are float32 where the input is half (native/cuda/layer_norm_kernel.cu,
`layer_norm_cuda`: acc_type); on a processor they have the weight's precision where that is another than the input's
(native/layer_norm.cpp: `param_scalar_type`). Ends when the shape function asks for the weight, and pretends a GPU.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ..dtypes import HALF


class NormStatistics(TorchDispatchMode):
    """Enter it just above the fake mode."""

    def __init__(self, *, on_gpu: bool) -> None:
        super().__init__()
        self._on_gpu = on_gpu

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is not torch.ops.aten.native_layer_norm.default:
            return result
        normed, *statistics = result
        return normed, *(each.to(self._precision(args[0], args[2])) for each in statistics)

    def _precision(self, inputs: torch.Tensor, weight: torch.Tensor | None) -> torch.dtype:
        if self._on_gpu:
            return torch.float32 if inputs.dtype in HALF else inputs.dtype
        return inputs.dtype if weight is None else weight.dtype
