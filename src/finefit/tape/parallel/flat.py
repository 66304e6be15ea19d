"""A group of parameters laid end to end and cut into as many equal parts as there are ranks.

deepspeed 0.19  runtime/zero/stage_1_and_2.py: flatten_dense_tensors_aligned, get_partition_info; the length is a
                multiple of twice the ranks (nccl_start_alignment_factor)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from .parameters import Parameter


@dataclass(frozen=True)
class Flat:
    group: tuple[Parameter, ...]
    ranks: int

    @cached_property
    def unpadded(self) -> int:
        return sum(one.elements for one in self.group)

    @cached_property
    def elements(self) -> int:
        return -(-self.unpadded // (2 * self.ranks)) * 2 * self.ranks

    @property
    def part(self) -> int:
        """Elements of one rank."""
        return self.elements // self.ranks

    @cached_property
    def owners(self) -> dict[int, tuple[tuple[int, int], ...]]:
        """Of each parameter's storage: the ranks that have a slice of it, and the slice's elements."""
        return dict(self._owners())

    def _owners(self) -> Iterator[tuple[int, tuple[tuple[int, int], ...]]]:
        start = 0
        for one in self.group:
            stop = start + one.elements
            ranks = range(start // self.part, -(-stop // self.part))
            yield one.storage, tuple((r, min(stop, (r + 1) * self.part) - max(start, r * self.part)) for r in ranks)
            start = stop

    def of(self, rank: int) -> tuple[Parameter, ...]:
        """Those that overlap the rank's part: DeepSpeed keeps their gradients whole."""
        return tuple(one for one in self.group if any(owner == rank for owner, _ in self.owners[one.storage]))

    def pieces(self, rank: int) -> int:
        """Tensors that make up the rank's part, padding included."""
        own = max(0, min(self.unpadded, (rank + 1) * self.part) - rank * self.part)
        return len(self.of(rank)) + (own < self.part)
