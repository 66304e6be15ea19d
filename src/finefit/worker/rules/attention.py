"""Which attention kernel a GPU takes, and so what is kept for backward.

Flash keeps q, k, v, the output and one float32 a row; memory-efficient also takes a mask but no grouped queries; math
builds the scores. Source: aten/src/ATen/native/transformers/cuda/sdp_utils.cpp (`select_sdp_backend`): flash needs
compute capability 8.0, a half-precision dtype, no mask and a head of at most 256; grouped queries (`enable_gqa`) only
run in flash and math. Padding of the head to a multiple of 8 and of the mask to 16:
aten/src/ATen/native/transformers/attention.cpp. On 9.0 and later cuDNN may come first; it keeps what flash keeps.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from ..dtypes import HALF

aten = torch.ops.aten
LARGEST_HEAD = 256


def answers(compute_capability: tuple[int, int], forced: str) -> list[Any]:
    def attention(query: Any, key: Any, value: Any, attn_mask: Any = None, *args: Any, **kwargs: Any) -> Any:
        kernel = forced if forced != "auto" else _choose(compute_capability, query, key, value, attn_mask, kwargs)
        return KERNELS[kernel](query, key, value, attn_mask, *args, **kwargs)

    return [(F, "scaled_dot_product_attention", attention)]


def _choose(capability: tuple[int, int], query: Any, key: Any, value: Any, mask: Any, kwargs: dict[str, Any]) -> str:
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else query.dtype
    heads = {query.shape[-1], key.shape[-1], value.shape[-1]}
    if capability >= (8, 0) and dtype in HALF and mask is None and len(heads) == 1 and max(heads) <= LARGEST_HEAD:
        return "flash"
    grouped = kwargs.get("enable_gqa", False) and query.shape[1] != key.shape[1]
    return "math" if grouped else "efficient"


def _cast(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
    if not torch.is_autocast_enabled("cpu"):
        return tensors
    dtype = torch.get_autocast_dtype("cpu")
    return tuple(tensor.to(dtype) for tensor in tensors)


def _flash(
    query: Any, key: Any, value: Any, mask: Any, dropout_p: float = 0.0, is_causal: bool = False,
    scale: float | None = None, **_: Any,
) -> torch.Tensor:  # fmt: skip
    query, key, value = _cast(query, key, value)
    head = query.shape[-1]
    if head % 8:
        query, key, value = (F.pad(tensor, (0, 8 - head % 8)) for tensor in (query, key, value))
    scale = head**-0.5 if scale is None else scale
    result = aten._scaled_dot_product_flash_attention(query, key, value, dropout_p, is_causal, False, scale=scale)[0]
    return result[..., :head]


def _efficient(
    query: Any, key: Any, value: Any, mask: Any, dropout_p: float = 0.0, is_causal: bool = False,
    scale: float | None = None, **_: Any,
) -> torch.Tensor:  # fmt: skip
    query, key, value = _cast(query, key, value)
    if query.shape[1] != key.shape[1]:
        times = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(times, 1), value.repeat_interleave(times, 1)
    trained = torch.is_grad_enabled() and (query.requires_grad or key.requires_grad or value.requires_grad)
    if mask is not None:
        mask = _float_mask(mask, query)
        mask = mask.expand(query.shape[0], query.shape[1], query.shape[2], key.shape[2])
    return aten._scaled_dot_product_efficient_attention(
        query, key, value, mask, trained, dropout_p, is_causal, scale=scale
    )[0]


def _float_mask(mask: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
    """The mask as the kernel reads it: additive, in the query's dtype, rows of a multiple of 16."""
    if mask.dtype is torch.bool:
        zero = torch.zeros((), dtype=query.dtype)
        mask = torch.where(mask, zero, torch.full((), float("-inf"), dtype=query.dtype))
    length = mask.shape[-1]
    if length % 16:
        mask = F.pad(mask, (0, 16 - length % 16))[..., :length]
    return mask


def _math(query: Any, key: Any, value: Any, mask: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
    query, key, value = _cast(query, key, value)
    scale = kwargs.pop("scale", None)
    return aten._scaled_dot_product_attention_math(query, key, value, mask, *args, scale=scale, **kwargs)[0]


KERNELS = {"flash": _flash, "efficient": _efficient, "math": _math}
