"""`torch.tensor` reads the memory of tensors in a list, which fake ones lack.

transformers counts in tensors of one number, and makes one of several (`get_rope_index` of the Qwen-VL models, 5.23).
With real tensors torch asks each for its `item`, which a rehearsal answers (`shadow.py`); so do these. Ends when torch
itself does so for fake tensors (2.13: "its data is not allocated yet").
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch._subclasses.fake_tensor import FakeTensor

_tensor = torch.tensor


@contextmanager
def numbers_of_fake_tensors() -> Iterator[None]:
    """Inside, a list of fake tensors of one number is as good as the numbers."""
    with patch.object(torch, "tensor", _tensor_of_numbers):
        yield


def _tensor_of_numbers(data: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
    return _tensor(_numbers(data) if isinstance(data, list | tuple) else data, *args, **kwargs)


def _numbers(data: Any) -> Any:
    if isinstance(data, FakeTensor) and data.dim() == 0:
        return data.item()
    return [_numbers(each) for each in data] if isinstance(data, list | tuple) else data
