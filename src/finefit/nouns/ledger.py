"""Which bytes are alive, when, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .range import Range


@dataclass(frozen=True)
class Line:
    what: str
    nbytes: int
    phase: str
    # the phase in which these bytes were born
    why: str


@dataclass(frozen=True)
class Ledger:
    """The peak moment of one training run, and the peak of each of its phases."""

    peak_bytes: int
    peak_phase: str
    phases: Mapping[str, int]
    # load, forward, backward, optimizer, resident, evaluation: the highest allocated bytes in each
    lines: tuple[Line, ...]
    # what is alive at the peak; their bytes add up to `peak_bytes`
    parameters: int
    trainable_parameters: int
    reserved: Range | None = None
    # what CUDA's caching allocator takes from the driver for it; None on a processor
    smallest_bytes: int | None = None
    # the least device memory that serves every step: the allocator empties its cache on the way, and the GPU waits;
    # None where the card has room for the worst case
    device: Range | None = None
    # what the driver's tools show for this process: reserved, and the CUDA context
    moments: Mapping[str, int] = field(default_factory=dict)
    # further peaks of a whole run: the first step, which makes the optimizer's state; one like all that follow; saving
    # a checkpoint; resuming from one

    @property
    def reserved_bytes(self) -> int | None:
        return None if self.reserved is None else self.reserved.typical
