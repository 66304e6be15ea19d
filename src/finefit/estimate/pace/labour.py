"""What a micro-batch asks of a GPU, whichever it is: products, attentions, bytes, and the processor's time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from finefit.tape.born import Born

from .attention import Attention, attentions_of
from .launch import started
from .moved import moved_bytes
from .products import Product, Weight, products_of
from .setup import Setup


@dataclass(frozen=True)
class Labour:
    products: tuple[Product, ...]
    again: tuple[Product, ...]
    # those of forward that backward repeats
    attentions: tuple[Attention, ...]
    moved_bytes: float
    again_bytes: float
    # moved by what backward repeats
    forward_starts: float
    backward_starts: float
    # kernels that the processor starts

    @cached_property
    def operations(self) -> float:
        products = [each.operations for each in (*self.products, *self.again)]
        return sum(products) + sum(each.all_operations for each in self.attentions)

    @cached_property
    def again_operations(self) -> float:
        repeated = sum(each.again * each.operations for each in self.attentions)
        return sum(each.operations for each in self.again) + repeated


def labour_of(born: Born, weights: Mapping[str, Weight], setup: Setup, layers: int) -> Labour:
    """`setup`: whatever its card, as long as it computes in the same types."""
    products = list(products_of(born, weights, setup))
    moved, again = moved_bytes(born)
    forward, backward = started(born)
    return Labour(
        products=tuple(product for product in products if not product.is_again),
        again=tuple(product for product in products if product.is_again),
        attentions=tuple(attentions_of(born, setup, layers)),
        moved_bytes=moved,
        again_bytes=again,
        forward_starts=forward,
        backward_starts=backward,
    )
