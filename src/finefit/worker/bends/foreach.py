"""torch's multi-tensor code paths refuse tensor subclasses, and so fake tensors.

`torch.nn.utils.clip_grad` asks `_has_foreach_support` whether all tensors are plain. A real run, on a GPU and on a
processor, takes the multi-tensor path for them; the rehearsal must too. Ends when the check accepts fake tensors.
"""

from __future__ import annotations

from typing import Any

from torch.nn.utils import clip_grad


def multi_tensor_for_fake_tensors() -> None:
    clip_grad._has_foreach_support = _supported  # type: ignore[attr-defined]


def _supported(tensors: Any, device: Any) -> bool:
    return device.type in ("cpu", "cuda") and all(tensor is not None for tensor in tensors)
