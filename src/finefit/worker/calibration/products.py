"""Matrix products as a linear module makes them, from small to large, in each type that the device has.

Knows: shapes of training: tokens of a micro-batch × a layer's sides. Numbers are random: a card that multiplies zeros
draws less power, and is faster. float32 is multiplied on the plain cores, as torch does unless it is told otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch.nn.functional import linear

from finefit.catalog.gpus import BF16_SINCE
from finefit.nouns.calibration import Figure, What

from .clock import Clock, rate

Shape = tuple[int, int, int]
"""Rows, outer, inner."""
SHAPES: dict[str, tuple[Shape, ...]] = {
    "cuda": (
        (512, 1024, 1024),
        (2048, 2048, 2048),
        (2048, 4096, 4096),
        (4096, 4096, 4096),
        (4096, 14336, 4096),
        (4096, 4096, 14336),
        (8192, 8192, 8192),
    ),
    "cpu": ((64, 256, 256), (256, 512, 512), (512, 1024, 1024), (1024, 2048, 2048)),
}
TYPES: dict[torch.dtype, What] = {
    torch.bfloat16: "bfloat16 product",
    torch.float16: "float16 product",
    torch.float32: "float32 product",
}
SLOW = 0.5
"""Seconds of one product, as the one before it lets expect, from which on a type's larger ones are left out."""


@dataclass(frozen=True)
class Timed:
    dtype: torch.dtype
    shape: Shape
    figure: Figure


def types_of(device: str) -> tuple[torch.dtype, ...]:
    has_bf16 = device != "cuda" or torch.cuda.get_device_capability() >= BF16_SINCE
    return tuple(dtype for dtype in TYPES if has_bf16 or dtype != torch.bfloat16)


def products(clock: Clock, say: Callable[[str], None]) -> Iterator[Timed]:
    for dtype in types_of(clock.device):
        say(f"matrix products in {name_of(dtype)}")
        yield from _of_type(clock, dtype)


def _of_type(clock: Clock, dtype: torch.dtype) -> Iterator[Timed]:
    reached = float("inf")
    for shape in SHAPES[clock.device]:
        if operations(shape) / reached > SLOW:
            return
        seconds = clock.runs_of(product(dtype, shape, clock.device))
        found = rate(TYPES[dtype], words(shape), "FLOP/s", operations(shape), seconds)
        reached = found.median
        yield Timed(dtype, shape, found)


def lasting(clock: Clock, timed: list[Timed], seconds: float) -> Figure:
    """The fastest product of half precision, for so long that the device slows down if it has to."""
    half = [one for one in timed if one.dtype == types_of(clock.device)[0]]
    best = max(half, key=lambda one: one.figure.median)
    runs = clock.lasting(product(best.dtype, best.shape, clock.device), seconds)
    of = f"{name_of(best.dtype)}, {words(best.shape)}"
    return rate("lasting product", of, "FLOP/s", operations(best.shape), runs)


def product(dtype: torch.dtype, shape: Shape, device: str) -> Callable[[], torch.Tensor]:
    rows, outer, inner = shape
    made = torch.Generator(device).manual_seed(0)
    left, right = (
        torch.randn(size, inner, generator=made, device=device, dtype=torch.float32).to(dtype) for size in (rows, outer)
    )
    return lambda: linear(left, right)


def operations(shape: Shape) -> float:
    rows, outer, inner = shape
    return 2.0 * rows * outer * inner


def words(shape: Shape) -> str:
    return " × ".join(f"{side:,}" for side in shape)


def name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
