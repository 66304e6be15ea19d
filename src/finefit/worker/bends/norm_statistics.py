"""A layer norm's means and deviations have the precision that they are computed in, not that of the input.

torch 2.13: the shape function of `native_layer_norm` (torch/_refs) gives them the input's wherever tensors pretend to
be a processor's. On a GPU they are float32 where the input is half (native/cuda/layer_norm_kernel.cu,
`layer_norm_cuda`: acc_type); on a processor they have the weight's precision where that is another than the input's
(native/layer_norm.cpp: `param_scalar_type`). Ends when the shape function asks for the weight, and pretends a GPU.
"""

from __future__ import annotations

import torch

from ..dtypes import HALF

LAYER_NORM = torch.ops.aten.native_layer_norm.default
Result = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def with_right_statistics(result: Result, inputs: torch.Tensor, weight: torch.Tensor | None, *, on_gpu: bool) -> Result:
    """What `native_layer_norm` gives: the normed input, means and deviations."""
    if on_gpu:
        right = torch.float32 if inputs.dtype in HALF else inputs.dtype
    else:
        right = inputs.dtype if weight is None else weight.dtype
    normed, means, deviations = result
    return normed, means.to(right), deviations.to(right)
