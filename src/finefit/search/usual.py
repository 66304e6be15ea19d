"""What a device shows at most, over what is allocated: as the allocator found for a few recipes of each kind.

Knows: Llama-3.1-8B and Llama-3.2-3B at 2,048 tokens, micro-batches of 1, 2 and 4, all, half and none of the layers
checkpointed, one GPU and four. Does not know: other models and lengths. Where rows of changing length or large buckets
break up the cache, it is much, so a verdict that follows from it has a wide `tight`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from finefit.nouns.engine import DDP, FSDP1, FSDP2, DeepSpeed, Engine
from finefit.nouns.method import Full, Method


@dataclass(frozen=True)
class Usual:
    """The most that the device may show, without what is there before any tensor, over allocated."""

    recipes: int
    least: float
    middle: float
    most: float

    @property
    def off(self) -> float:
        """By what part a figure made with the middle may be off."""
        return max(self.most / self.middle - 1, 1 - self.least / self.middle)


ADAPTERS = {
    "alone": Usual(32, 1.09, 1.16, 1.40),
    "ZeRO 1": Usual(8, 1.19, 1.30, 1.44),
    "ZeRO 2": Usual(8, 1.19, 1.30, 1.44),
    "ZeRO 3": Usual(8, 1.23, 1.33, 1.47),
    "FSDP2": Usual(8, 1.24, 1.32, 1.45),
    "ZeRO 2, offloaded": Usual(16, 1.19, 1.31, 1.44),
    "ZeRO 3, offloaded": Usual(16, 1.20, 1.42, 1.65),
}
FULL = {
    "alone": Usual(16, 1.07, 1.10, 1.31),
    "ZeRO 1": Usual(8, 1.35, 1.50, 1.79),
    "ZeRO 2": Usual(8, 1.25, 1.36, 1.65),
    "ZeRO 3": Usual(8, 1.28, 1.44, 1.63),
    "FSDP2": Usual(8, 1.18, 1.25, 1.39),
    "ZeRO 2, offloaded": Usual(16, 1.16, 1.34, 1.84),
    "ZeRO 3, offloaded": Usual(16, 1.21, 1.38, 1.76),
}
"""Of 176 estimates with the allocator's replay (`benchmarks/matrix_ratios.py`); alone: one GPU, or DDP."""


def usual(method: Method, engine: Engine | None) -> Usual:
    return (FULL if isinstance(method, Full) else ADAPTERS)[kind_of(engine)]


def kind_of(engine: Engine | None) -> str:
    match engine:
        case None | DDP():
            return "alone"
        case DeepSpeed(stage=0):
            return "ZeRO 1"
        case DeepSpeed(stage=stage, offload=offload):
            return f"ZeRO {stage}{', offloaded' if offload != 'none' and stage > 1 else ''}"
        case FSDP2() | FSDP1():
            return "FSDP2"
        case _:
            assert_never(engine)
