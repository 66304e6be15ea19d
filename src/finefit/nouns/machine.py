"""The GPUs a job runs on, or the processor where there are none; each GPU, or each process on it, is a rank."""

from __future__ import annotations

from dataclasses import dataclass, field

from .calibration import Here


@dataclass(frozen=True)
class Gpu:
    name: str
    vram_bytes: int
    # what torch reports as the card's total
    compute_capability: tuple[int, int]
    native_bf16: bool = True
    unknown_bytes: int = 0
    # of vram_bytes, at most so many are the driver's: torch's total of this card is not known
    here: Here | None = field(default=None, hash=False)
    # what was measured of it on this machine

    @property
    def sure_bytes(self) -> int:
        """What a process has, whatever the driver's share is."""
        return self.vram_bytes - self.unknown_bytes


@dataclass(frozen=True)
class Machine:
    gpu: Gpu | None
    # None: the processor
    count: int = 1
    # GPUs; on the processor, processes

    @property
    def is_cpu(self) -> bool:
        return self.gpu is None

    @property
    def parts(self) -> str:
        """What it counts."""
        return "processes" if self.is_cpu else "GPUs"

    @property
    def name(self) -> str:
        name = "cpu" if self.gpu is None else self.gpu.name
        return name if self.count == 1 else f"{self.count}x{name}"
