"""Seconds of a micro-batch on one GPU, by what they go into.

What a GPU reaches of its rates (`MATMUL`, `MEMORY`) is one number for all cards and models; docs/accuracy.md says how
published runs lie around what comes of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from finefit.catalog.rates import Rates
from finefit.tape.born import Born

from .attention import attentions_of
from .launch import launch_seconds
from .moved import moved_bytes
from .products import Product, Weight, products_of
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
    def waiting(self) -> float:
        """For the processor."""
        return max(0.0, self.launch - self.kernels)

    @property
    def seconds(self) -> float:
        return self.kernels + self.waiting


def micro_batch(born: Born, weights: dict[str, Weight], setup: Setup, layers: int) -> MicroBatch:
    products = list(products_of(born, weights, setup))
    attentions = list(attentions_of(born, setup, layers))
    attending = [attention.seconds(setup.half) for attention in attentions]
    moved, moved_again = moved_bytes(born)
    rate = moving(setup.rates)
    once = [product for product in products if not product.is_again]
    again = [product for product in products if product.is_again]
    return MicroBatch(
        products=_seconds(once, setup),
        attention=sum(once for once, _ in attending),
        moving=moved / rate,
        again=_seconds(again, setup) + sum(more for _, more in attending) + moved_again / rate,
        launch=launch_seconds(born),
        operations=sum(each.operations for each in products) + sum(each.all_operations for each in attentions),
        moved_bytes=moved + moved_again,
        again_operations=sum(each.operations for each in again)
        + sum(each.again * each.operations for each in attentions),
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
