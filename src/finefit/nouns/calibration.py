"""What was measured on this machine: a device's figures, and how long finished runs on it took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Unit = Literal["FLOP/s", "bytes/s", "s", "bytes"]
What = Literal[
    "bfloat16 product",
    "float16 product",
    "float32 product",
    "lasting product",
    "copy",
    "addition",
    "tiny kernel",
    "forward kernel",
    "backward kernel",
    "context alone",
    "context",
    "copy from host",
    "copy to peer",
]
"""lasting product: half precision, over seconds. forward, backward kernel: the processor's time to start one in a
training step. context: after all kernels of the calibration were loaded."""


@dataclass(frozen=True)
class Figure:
    """Measured several times."""

    what: What
    of: str
    # shape, type, or how it was read
    unit: Unit
    median: float
    low: float
    high: float
    # between which the middle half of the runs lies
    runs: int


@dataclass(frozen=True)
class Calibration:
    device: str
    # as the catalogue names it, or as the driver does
    measured_at: str
    # 2026-11-21T14:03:22+00:00
    versions: Mapping[str, str]
    figures: tuple[Figure, ...]

    @property
    def day(self) -> str:
        return self.measured_at[:10]

    def best(self, *whats: What) -> float | None:
        """The highest median of these; None where none was measured."""
        return max((figure.median for figure in self.figures if figure.what in whats), default=None)


@dataclass(frozen=True)
class Here:
    """All that is known of a device from this machine itself."""

    calibration: Calibration | None = None
    ratios: tuple[float, ...] = ()
    # of finished runs: measured seconds over those that were predicted with the same rates; the newest last
