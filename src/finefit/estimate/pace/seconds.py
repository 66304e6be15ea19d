"""Seconds of a micro-batch on one GPU, by what they go into.

What a GPU reaches of its rates (`MATMUL`, `MEMORY`) is one number for all cards and models; docs/accuracy.md says how
published runs lie around what comes of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from finefit.catalog.rates import Rates

from .labour import Labour
from .products import Product
from .setup import HALF, Setup

MATMUL = 0.85
"""Of the best product that was measured on a card: shapes of models are a little worse than the best shape."""
MEMORY = 0.75
"""Of the memory's rate on the data sheet."""


@dataclass(frozen=True)
class MicroBatch:
    """Seconds of its kernels, one after another; and of the processor, which starts them meanwhile."""

    products: float
    attention: float
    moving: float
    again: float
    # all that backward repeats of forward
    launch: float
    operations: float
    # of all products, attention's too
    moved_bytes: float
    again_operations: float

    @property
    def kernels(self) -> float:
        return self.products + self.attention + self.moving + self.again

    @property
    def busy(self) -> float:
        """How much longer the kernels take than their start."""
        return self.kernels / self.launch if self.launch else 1.0

    @property
    def waiting(self) -> float:
        """For the processor."""
        return max(0.0, self.launch - self.kernels)

    @property
    def seconds(self) -> float:
        return self.kernels + self.waiting


def micro_batch(labour: Labour, setup: Setup) -> MicroBatch:
    attending = [attention.seconds(setup.attending) for attention in labour.attentions]
    rate = moving(setup.rates)
    return MicroBatch(
        products=_seconds(labour.products, setup),
        attention=sum(once for once, _ in attending),
        moving=labour.moved_bytes / rate,
        again=_seconds(labour.again, setup) + sum(more for _, more in attending) + labour.again_bytes / rate,
        launch=labour.forward_starts * setup.rates.forward_start + labour.backward_starts * setup.rates.backward_start,
        operations=labour.operations,
        moved_bytes=labour.moved_bytes + labour.again_bytes,
        again_operations=labour.again_operations,
    )


def _seconds(products: Iterable[Product], setup: Setup) -> float:
    """Each is as slow as its reckoning, or as what it moves."""
    return sum(
        max(product.operations / (_rate(product, setup) * MATMUL), product.moved_bytes / moving(setup.rates))
        for product in products
    )


def _rate(product: Product, setup: Setup) -> float:
    return setup.half if product.width == HALF else setup.rates.float32


def moving(rates: Rates) -> float:
    """Bytes per second that kernels reach."""
    return rates.memory * MEMORY
