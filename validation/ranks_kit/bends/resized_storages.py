"""A recorder hears of storages that are resized in place, which no operation shows.

torch 2.13  distributed/fsdp/_fully_shard/_fsdp_param.py: free_storage, alloc_storage call `UntypedStorage.resize_`, as
            does DeepSpeed 0.19. Ends where torch makes an operation of it for real tensors.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import _disable_current_modes

from finefit.worker.recorder import Recorder


def hear_of_resizes(recorder: Recorder) -> None:
    resize = torch.UntypedStorage.resize_

    def heard(self: Any, nbytes: int) -> Any:
        result = resize(self, nbytes)
        with _disable_current_modes():
            whole = torch.empty(0, dtype=torch.uint8).set_(self)  # type: ignore[call-overload]
        recorder.adopt([whole], "activation")
        return result

    torch.UntypedStorage.resize_ = heard  # type: ignore[assignment]
