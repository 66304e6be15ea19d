"""Which bytes are alive, when, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


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
    # load, forward, backward, optimizer, resident: the highest allocated bytes in each
    lines: tuple[Line, ...]
    # what is alive at the peak; their bytes add up to `peak_bytes`
    parameters: int
    trainable_parameters: int
    reserved_bytes: int | None = None
    # what CUDA's caching allocator takes from the driver for it, all steps being alike; None on a processor
