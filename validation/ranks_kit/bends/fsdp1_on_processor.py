"""FSDP1 takes `cpu:0`, which accelerate passes, for another device than `cpu`, where the parameters are.

torch 2.13  distributed/fsdp/_init_utils.py: _get_compute_device compares the two. Ends with a version that does not.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.distributed.fsdp import _init_utils


def one_processor_is_any() -> None:
    of = _init_utils._get_device_from_device_id

    def found(device_id: Any, *args: Any, **words: Any) -> Any:
        device = of(device_id, *args, **words)
        return torch.device("cpu") if device is not None and device.type == "cpu" else device

    _init_utils._get_device_from_device_id = found
