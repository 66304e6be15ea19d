"""What one rank holds of the model's state between two steps: parameters, gradients, the optimizer's state with its
float32 copies.

Knows: real tensors, of DDP, DeepSpeed 0.19 and FSDP2, each storage once. What is offloaded is counted with the rest: on
a processor host and device are one memory. Does not know: buckets, what is gathered for a moment, activations.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch.distributed.tensor import DTensor

from finefit.nouns.engine import HELD

from ..quantized import hidden_tensors


def held_by(trainer: Any) -> dict[str, int]:
    """Bytes of each kind."""
    model, optimizer = trainer.model, innermost(trainer.optimizer)
    seen: set[int] = set()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    masters = [local(key) for key in optimizer.state]
    moments = [local(each) for values in optimizer.state.values() for each in values.values() if torch.is_tensor(each)]
    is_fsdp = any(isinstance(parameter, DTensor) for parameter in trained)
    kinds: dict[str, Iterable[torch.Tensor]] = {
        "gradients": _gradients(trainer, trained, optimizer),
        "parameters": [*_parameters(p for p in model.parameters() if not (is_fsdp and p.requires_grad)),
                       *hidden_tensors(model)],
        "optimizer state": [*masters, *moments],
    }  # fmt: skip
    found = {kind: sum(_new_bytes(tensor, seen) for tensor in tensors) for kind, tensors in kinds.items()}
    return {kind: found[kind] for kind in HELD}


def whole(parameter: Any) -> int:
    """Elements of a parameter, of which this rank may hold a part."""
    return int(getattr(parameter, "ds_numel", None) or parameter.numel())


def local(tensor: torch.Tensor) -> torch.Tensor:
    return tensor._local_tensor if isinstance(tensor, DTensor) else tensor


def innermost(optimizer: Any) -> Any:
    """torch's, in those of accelerate and DeepSpeed."""
    while getattr(optimizer, "optimizer", optimizer) is not optimizer:
        optimizer = optimizer.optimizer
    return optimizer


def _parameters(parameters: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
    """This rank's part of each."""
    for parameter in parameters:
        yield local(getattr(parameter, "ds_tensor", parameter))


def _gradients(trainer: Any, trained: Iterable[torch.Tensor], optimizer: Any) -> Iterator[torch.Tensor]:
    """Those that stay: ZeRO 3 keeps its part of them in one buffer."""
    for parameter in (*trained, *optimizer.state):
        if parameter.grad is not None:
            yield local(parameter.grad)
    flat = getattr(getattr(trainer.model_wrapped, "optimizer", None), "grad_partitions_flat_buffer", None)
    if flat is not None:
        yield flat


def _new_bytes(tensor: torch.Tensor, seen: set[int]) -> int:
    """Of its storage, once."""
    storage = tensor.untyped_storage()
    if not storage.nbytes() or storage.data_ptr() in seen:
        return 0
    seen.add(storage.data_ptr())
    return storage.nbytes()
