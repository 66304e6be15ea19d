"""Dropout on a GPU is one kernel that keeps a one-byte mask; the processor keeps a mask in the input's dtype.

Source: aten/src/ATen/native/cuda/Dropout.cu (`native_dropout_cuda`), called by `at::dropout` when the input is on CUDA.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F


def answers() -> list[Any]:
    return [(F, "dropout", _dropout)]


def _dropout(input: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    if not training or p in (0.0, 1.0) or inplace:
        return NotImplemented
    return torch.ops.aten.native_dropout(input, p, True)[0]
