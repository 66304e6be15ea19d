"""The matrix products of a micro-batch, from what is born in it.

A module's product is known by what it writes and by the weight that it reads: rows × outer × inner, where the weight is
outer × inner. What a product in a module does forward, backward does again for its input, and once more for its weight
where that is trained. A product that is repeated in backward bears the module's name there.
Knows: linear modules, experts that are one grouped product, the head, also where its logits are never whole; DoRA's
products of a unit matrix, of which nothing goes backward, and those that it makes again where there is dropout.
Does not know: that the first layer's inputs may need no gradient (one product of a layer's seven, at most).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from finefit.tape.born import Born
from finefit.tape.digest import Loaded
from finefit.tape.peaks import Held

from .setup import FLOAT32, HALF, Setup

LINEAR = frozenset(
    {
        "aten.mm.default",
        "aten.addmm.default",
        "bitsandbytes.gemm_4bit.default",
        "bitsandbytes.int8_mixed_scaled_mm.default",
    }
)
GROUPED = "aten._grouped_mm.default"
HEAD = "lm_head"
MAGNITUDE = "lora_magnitude_vector."
GRAPHED = ("forward", "loss")
"""Phases whose products go backward, too; the reference's do not."""


@dataclass(frozen=True)
class Weight:
    """All weights of one name, layer after layer."""

    parameters: float
    # of one
    count: int
    is_adapter: bool
    is_packed: bool


@dataclass(frozen=True)
class Product:
    """`count` products of one shape."""

    rows: float
    outer: float
    inner: float
    count: float
    width: int
    # bytes of each number
    is_again: bool = False
    # a product of forward, repeated in backward

    @property
    def operations(self) -> float:
        """Floating-point operations of all."""
        return 2 * self.rows * self.outer * self.inner * self.count

    @property
    def moved_bytes(self) -> float:
        """Read and written by all, where nothing is read twice."""
        each = self.rows * (self.outer + self.inner) + self.outer * self.inner
        return self.width * each * self.count


def products_of(born: Born, weights: Mapping[str, Weight], setup: Setup) -> Iterator[Product]:
    for (category, phase, module, operation), held in born.items():
        if category == "workspace":
            continue
        if operation in LINEAR and module in weights and setup.is_dora and weights[module].is_adapter:
            yield from _dora(module, held, weights, phase, setup)
        elif operation in LINEAR and module in weights:
            yield from _linear(held, weights[module], phase, setup, setup.rows_of(module))
        elif operation == GROUPED and module:
            yield from _experts(_inside(weights, module), phase, held, setup)
    yield from _head(born, weights, setup)


def weights_of(loaded: Sequence[Loaded], setup: Setup) -> dict[str, Weight]:
    """By the name of their module."""
    found: dict[str, Weight] = {}
    for (category, _, name, operation), nbytes, more in loaded:
        if not name:
            continue
        module, is_packed = name.removesuffix(".weight"), operation == "packed"
        width = (
            setup.adapter_bytes if category == "adapter" else setup.packed_bytes if is_packed else setup.weight_bytes
        )
        count = found[module].count + more if module in found else more
        found[module] = Weight(nbytes / width, count, category == "adapter", is_packed)
    return found


def _linear(held: Held, weight: Weight, phase: str, setup: Setup, rows: int) -> Iterator[Product]:
    width = _width(weight, setup)
    outer = held.nbytes / held.count / rows / width
    inner = weight.parameters / outer
    yield Product(rows, outer, inner, held.count, width, is_again=phase == "backward")
    if phase in GRAPHED:
        passes = 2 if weight.is_adapter or setup.trains_all else 1
        yield Product(rows, inner, outer, passes * held.count, width)


def _dora(module: str, held: Held, weights: Mapping[str, Weight], phase: str, setup: Setup) -> Iterator[Product]:
    """An adapter's matrix multiplies its input, and what a unit matrix as wide as the layer's input has become."""
    if MAGNITUDE in module:
        yield from _made_again(module.partition(MAGNITUDE)[0], held, weights, phase, setup)
        return
    weight, rows, rank, is_again = weights[module], setup.rows_of(module), setup.rank, phase == "backward"
    width, calls = _width(weight, setup), held.count / 2
    outer = rank if ".lora_A." in module else weight.parameters / rank
    inner = weight.parameters / outer
    unit = held.nbytes / width / outer / calls - rows
    yield Product(rows, outer, inner, calls, width, is_again)
    yield Product(unit, outer, inner, calls, width, is_again)
    if phase in GRAPHED:
        yield Product(rows, inner, outer, 2 * calls, width)


def _made_again(layer: str, held: Held, weights: Mapping[str, Weight], phase: str, setup: Setup) -> Iterator[Product]:
    """DoRA with dropout: the layer's product of the input that was dropped, as wide as the adapter's."""
    if layer + "lora_A.default" not in weights:
        return  # an embedding, which multiplies nothing
    width, rows = _width(weights[layer + "lora_A.default"], setup), setup.rows_of(layer)
    outer = held.nbytes / held.count / rows / width
    inner = weights[layer + "base_layer"].parameters / outer
    yield Product(rows, outer, inner, held.count, width, is_again=phase == "backward")
    if phase in GRAPHED:
        yield Product(rows, inner, outer, held.count, width)


def _experts(inside: Mapping[str, Weight], phase: str, held: Held, setup: Setup) -> Iterator[Product]:
    """Each token goes through a few of them; with adapters on them, what they are added up to has a gradient too."""
    experts, chosen = _experts_of(setup)
    stacked = [weight for weight in inside.values() if not weight.is_adapter]
    for weight in stacked:
        calls = held.count / len(stacked)
        side = (weight.parameters / experts) ** 0.5
        yield Product(setup.tokens * chosen, side, side, calls, setup.product_bytes, is_again=phase == "backward")
        if phase in GRAPHED:
            is_trained = setup.trains_all or len(inside) > len(stacked)
            yield Product(setup.tokens * chosen, side, side, (2 if is_trained else 1) * calls, setup.product_bytes)


def _inside(weights: Mapping[str, Weight], module: str) -> dict[str, Weight]:
    """The stacked weights of a module, and the adapters on them."""
    bare = module.replace(".base_layer", "")
    return {name: weight for name, weight in weights.items() if name.replace(".base_layer", "").startswith(bare + ".")}


def _experts_of(setup: Setup) -> tuple[int, int]:
    """How many there are, and how many see a token."""
    text = setup.text
    experts = text.get("num_experts") or text.get("num_local_experts") or text.get("n_routed_experts") or 1
    return experts, text.get("num_experts_per_tok") or text.get("num_experts_per_token") or 1


def _head(born: Born, weights: Mapping[str, Weight], setup: Setup) -> Iterator[Product]:
    """Where it is not among the modules: TRL's fused head multiplies in pieces (again in backward), Liger's as well; a
    head that is tied to the embedding has its weight."""
    vocabulary, hidden = setup.text.get("vocab_size", 0), setup.model.hidden_size or 0
    named = [module for (_, _, module, op) in born if op in LINEAR and _last(module) == HEAD]
    if named and all(module in weights for module in named):
        return
    width = HALF if setup.product_bytes == HALF and (setup.is_autocast or setup.weight_bytes == HALF) else FLOAT32
    passes = 3 if setup.trains_all else 2
    if not named and setup.knobs.loss == "liger":
        passes = 3 if setup.trains_all else 2  # it makes the gradients in forward
    elif not named:
        yield Product(setup.tokens, vocabulary, hidden, 1, width, is_again=True)
    yield Product(setup.tokens, vocabulary, hidden, passes, width)


def _last(module: str) -> str:
    return module.rsplit(".", 1)[-1]


def _width(weight: Weight, setup: Setup) -> int:
    """Of the numbers that a product reads and writes: as autocast says, else as its weight has."""
    if setup.is_autocast:
        return HALF
    if weight.is_adapter:
        return setup.adapter_bytes
    return setup.product_bytes if weight.is_packed else setup.weight_bytes
