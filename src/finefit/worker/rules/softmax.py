"""Softmax of a half-precision input into float32 is one kernel on a GPU; the processor copies the input first.

Source: aten/src/ATen/native/SoftMax.cpp, `softmax(self, dim, dtype)`: on CUDA with a half input and dtype float32 it
calls `_softmax(self, dim, half_to_float=true)`. Autocast asks for float32 by the list `fp32_set_opt_dtype` in
aten/src/ATen/autocast_mode.h.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from ..dtypes import HALF

aten = torch.ops.aten


def answers() -> list[Any]:
    softmax, log_softmax = _one_kernel(aten._softmax.default), _one_kernel(aten._log_softmax.default)
    homes = (F, torch, torch.Tensor)
    return [(home, "softmax", softmax) for home in homes] + [(home, "log_softmax", log_softmax) for home in homes]


def _one_kernel(kernel: Any) -> Any:
    def softmax(input: torch.Tensor, dim: int | None = None, *_: Any, dtype: Any = None, **__: Any) -> Any:
        if dtype is None and torch.is_autocast_enabled("cpu"):
            dtype = torch.float32
        if dim is None or input.dtype not in HALF or dtype is not torch.float32:
            return NotImplemented
        return kernel(input, dim, True)

    return softmax
