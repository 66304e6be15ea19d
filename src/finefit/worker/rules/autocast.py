"""Autocast runs more operations in float32 on a GPU than on the processor.

Source: aten/src/ATen/autocast_mode.h, lists `AT_FORALL_FP32` (CUDA) against the processor's in autocast_mode.cpp.
Those that copy their input matter for memory. Softmax and its kin have a kernel of their own (`softmax.py`). A norm
along one dimension copies nothing, and its result is float32 (`AT_FORALL_FP32_SET_OPT_DTYPE`): DoRA takes one of every
weight.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from ..dtypes import HALF

_ENABLED = torch.is_autocast_enabled

# fmt: off
NAMES = (
    "acos", "asin", "cosh", "erfinv", "exp", "expm1", "log", "log10", "log2", "log1p", "reciprocal", "rsqrt",
    "sinh", "tan", "pow", "layer_norm", "group_norm", "norm", "cumprod", "cumsum", "dist", "pdist", "cdist",
    "logsumexp", "softplus", "__pow__", "__rpow__",
)
# fmt: on


def answers() -> list[Any]:
    homes = (torch, torch.Tensor, F)
    in_float32 = [
        (home, name, _in_float32(getattr(home, name)))
        for home in homes
        for name in NAMES
        if hasattr(home, name) and not (home is torch and name.startswith("__"))
    ]
    return [(torch, "is_autocast_enabled", _is_enabled), (torch.linalg, "norm", _norm), *in_float32]


def _is_enabled(device: str = "cuda") -> Any:
    """Asked without a device, it means CUDA; the rehearsal's autocast is the processor's."""
    return _ENABLED("cpu") if device == "cuda" else NotImplemented


def _in_float32(function: Callable[..., Any]) -> Callable[..., Any]:
    def answer(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_autocast_enabled("cpu") or not any(_is_half(value) for value in args):
            return NotImplemented
        return function(*(value.float() if _is_half(value) else value for value in args), **kwargs)

    return answer


def _norm(inputs: torch.Tensor, **kwargs: Any) -> Any:
    if not torch.is_autocast_enabled("cpu") or not _is_half(inputs) or "dtype" in kwargs:
        return NotImplemented
    return torch.linalg.norm(inputs, **kwargs, dtype=torch.float32)


def _is_half(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dtype in HALF
