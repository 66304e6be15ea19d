"""What one pinned recipe takes, and what this number rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from .data import DataFacts
from .engine import Engine
from .host import Host
from .images import Images
from .knobs import Knobs
from .ledger import Ledger
from .machine import Gpu, Machine
from .method import Method
from .model import Model
from .pace import Pace
from .task import SFT, Task

Verdict = Literal["fits", "tight", "no"]
"""fits: the worst that is foreseen is on the card. tight: what is likely is, or it runs by emptying the allocator's
cache. no: neither."""


@dataclass(frozen=True)
class Estimate:
    model: Model
    method: Method
    knobs: Knobs
    machine: Machine
    ledger: Ledger
    source: Literal["atlas", "rehearsal"]
    # a tape that was shipped, or one recorded on this machine
    stack: Mapping[str, str]
    # versions it was computed with
    notes: tuple[str, ...]
    seconds: float
    # how long the estimate itself took
    engine: Engine | None = None
    # None: one GPU, and none; the ledger is that of the rank that takes most
    held: Mapping[str, int] = field(default_factory=dict)
    # by each rank of a run between two steps, kind by kind, with what is offloaded; nothing without an engine
    host: Host | None = None
    # what it takes beside the GPUs
    pace: Pace | None = None
    # None: a processor, or rows of many lengths
    images: Images | None = None
    # of every row
    task: Task = field(default_factory=SFT)
    data: DataFacts | None = None
    # the rows of a file; None: rows of `max_length`

    @property
    def verdict(self) -> Verdict | None:
        """None on a processor."""
        return None if self.machine.gpu is None else verdict_on(self.machine.gpu, self.ledger)


def verdict_on(gpu: Gpu, ledger: Ledger) -> Verdict | None:
    """A larger card never has a worse one. None where nothing can be said."""
    device = ledger.device
    if device is None:
        return "no" if ledger.peak_bytes > gpu.vram_bytes else None
    if device.high <= gpu.sure_bytes:
        return "fits"
    least = device.typical if ledger.smallest_bytes is None else min(ledger.smallest_bytes, device.typical)
    return "tight" if least <= gpu.vram_bytes else "no"
