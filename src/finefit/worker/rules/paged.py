"""bitsandbytes' paged optimizers keep large states in managed memory, which the caching allocator never sees.

Source: bitsandbytes 0.50, bitsandbytes/optim/optimizer.py, `Optimizer8bit.get_state_buffer`: states of fewer than 1e5
elements are not paged. On the processor nothing is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

PAGED_FROM = 100_000
"""Elements."""


def paged_state(optimizer: Any, name: str) -> Iterator[torch.Tensor]:
    if not str(name).removeprefix("OptimizerNames.").lower().startswith("paged"):
        return
    for values in optimizer.state.values():
        for value in values.values():
            if isinstance(value, torch.Tensor) and value.numel() >= PAGED_FROM:
                yield value
