"""What one pinned recipe takes, and what this number rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from .knobs import Knobs
from .ledger import Ledger
from .machine import Machine
from .method import Method
from .model import Model

Verdict = Literal["no"]
"""`fits` and `tight` need the CUDA context and the spread of reserved memory, which are not modelled yet."""


@dataclass(frozen=True)
class Estimate:
    model: Model
    method: Method
    knobs: Knobs
    machine: Machine
    ledger: Ledger
    source: Literal["rehearsal"]
    stack: Mapping[str, str]
    # versions it was computed with
    notes: tuple[str, ...]
    seconds: float
    # how long the estimate itself took

    @property
    def verdict(self) -> Verdict | None:
        """`no` where the tensors alone are more than the card holds; None where nothing can be said."""
        gpu = self.machine.gpu
        return "no" if gpu is not None and self.ledger.peak_bytes > gpu.vram_bytes else None
