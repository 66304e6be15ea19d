"""The gradient of indexing is added to zeros in place; while it is recorded, torch makes a second tensor.

torch 2.13, `index_backward` in torch/csrc/autograd/FunctionsManual.cpp: tensor subclasses, and all tensors while a
dispatch mode is on, take `index_put`; a run that nobody watches takes `_index_put_impl_`. Recorded or rehearsed, the
gradient is written into the zeros too. Ends when a mode no longer counts as a subclass there.
"""

from __future__ import annotations

from typing import Any

import torch

aten = torch.ops.aten


def in_place_in_backward(func: Any) -> Any:
    """The operation that a real run would call."""
    if func is aten.index_put.default and torch._C._current_graph_task_id() != -1:
        return aten.index_put_.default
    return func
