"""The ranks of a run as one group: how a process joins it, and what they tell each other beside their tensors.

What is said here goes over gloo, by a group of its own, also where tensors go over NCCL: nothing waits for a GPU.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from ..stop import Stop, Stopped

T = TypeVar("T")
PATIENCE = timedelta(hours=2)
"""All ranks wait while the first hashes and syncs a checkpoint: chosen, for the largest on the slowest disk."""


class Group:
    def __init__(self) -> None:
        self._said = dist.new_group(backend="gloo", timeout=PATIENCE)

    @property
    def rank(self) -> int:
        return dist.get_rank()

    @property
    def size(self) -> int:
        return dist.get_world_size()

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def sum(self, values: Sequence[float]) -> list[float]:
        """Of all ranks; exact for counts below 2⁵³."""
        total = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(total, group=self._said)
        return total.tolist()

    def any(self, flag: bool) -> bool:
        return self.sum([float(flag)])[0] > 0

    def told(self, make: Callable[[], T]) -> T:
        """What the first rank makes, on all of them."""
        said = [make() if self.is_first else None]
        dist.broadcast_object_list(said, src=0, group=self._said)
        return said[0]  # type: ignore[return-value]

    def gathered(self, value: T) -> list[T]:
        """Of every rank, in their order."""
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value, group=self._said)
        return found

    def wait(self) -> None:
        """For the others."""
        dist.barrier(group=self._said)

    def leave(self) -> None:
        self.wait()
        dist.destroy_process_group()


def join(engine: str, device: str) -> Group:
    """Before a model loads: ZeRO 3 divides it as it does."""
    if engine == "deepspeed" and device == "cpu":
        from ..bends.deepspeed_without_compiler import over_gloo

        over_gloo()
    elif engine == "deepspeed":
        import deepspeed

        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        deepspeed.init_distributed("nccl")
    elif device == "cpu":
        dist.init_process_group("gloo")
    else:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("nccl")
    return Group()


class SharedStop:
    """Asked where any rank was: all hear of it after the same step, and none waits for one that has stopped."""

    def __init__(self, own: Stop, group: Group) -> None:
        self._own = own
        self._group = group

    @property
    def asked(self) -> bool:
        """Every rank must ask at the same places."""
        return self._group.any(self._own.asked)

    def check(self) -> None:
        if self.asked:
            raise Stopped
