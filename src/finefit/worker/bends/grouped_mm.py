"""The shape function of `_grouped_mm` (experts' matrix product) refuses float32, which real kernels take.

torch 2.13, `torch/_meta_registrations.py`, `_meta_grouped_mm_common`: "Expected inputs of BF16 type". The shape does
not depend on the dtype, so it is asked in bfloat16. Ends when the check follows the kernels.
"""

from __future__ import annotations

from typing import Any

import torch

GROUPED_MM = getattr(torch.ops.aten, "_grouped_mm", None)


def is_refused(func: Any, args: tuple[Any, ...]) -> bool:
    return GROUPED_MM is not None and func is GROUPED_MM.default and args[0].dtype is not torch.bfloat16


def grouped_mm(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
    """The result's fake tensor, in the dtype of the inputs."""
    dtype = args[0].dtype
    return func(args[0].bfloat16(), args[1].bfloat16(), *args[2:], **kwargs).to(dtype)
