"""Attention's two products, of every token with every one before it.

Knows: fused kernels that leave out what a causal mask hides (flash), those that compute all (memory-efficient with a
mask, math, eager; where rows share a sequence, each token of it with every other one), and which of them a recording
has; a vision tower's, every patch with every one of its image. Does not know: kernels that leave out what a sliding
window hides, in the language model or the tower.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from finefit.catalog.modules import TOWER
from finefit.tape.born import Born

from .setup import Setup


@dataclass(frozen=True)
class Kernel:
    """A way to compute it. Parts of what plain products reach; see `docs/how-it-works.md`."""

    marks: tuple[str, ...]
    # in the names of its operations
    share: float
    # of all pairs of tokens, that it computes
    forward: float
    backward: float
    # of the rate of matrix products
    backward_work: float
    # in units of forward's


FLASH = Kernel(("flash_attention",), 0.5, 0.62, 0.52, 2.5)
EFFICIENT = Kernel(("efficient_attention",), 1.0, 0.35, 0.30, 2.5)
CUDNN = Kernel(("cudnn_attention",), 0.5, 0.70, 0.60, 2.5)
PLAIN = Kernel((), 1.0, 0.6, 0.6, 2.0)
"""Products of their own: eager, and SDPA's math."""


@dataclass(frozen=True)
class Attention:
    kernel: Kernel
    operations: float
    # of one forward through all layers
    again: float
    # parts of it that backward repeats

    def seconds(self, rate: float) -> tuple[float, float]:
        """Of forward and backward, and of what is repeated."""
        forward = self.operations / (rate * self.kernel.forward)
        backward = self.operations * self.kernel.backward_work / (rate * self.kernel.backward)
        return forward + backward, self.again * forward

    @property
    def all_operations(self) -> float:
        return self.operations * (1 + self.again + self.kernel.backward_work)


def attentions_of(born: Born, setup: Setup, layers: int) -> Iterator[Attention]:
    """Of the language model, and of the tower where there is one."""
    tower = setup.tower
    if tower is None:
        yield _language(born, setup, layers)
        return
    seen = {name: held for name, held in born.items() if not TOWER.isdisjoint(name[2].split("."))}
    yield _language({name: held for name, held in born.items() if name not in seen}, setup, layers)
    config = setup.model.config["vision_config"]
    depth, width = config.get("depth") or config["num_hidden_layers"], _tower_width(config)
    operations = 4 * tower.patches**2 / tower.images * width * depth
    kernel = replace(_kernel(seen), share=1.0)
    if setup.knobs.freeze_vision_tower:
        kernel = replace(kernel, backward_work=0.0)
    yield Attention(kernel, operations, _again(seen))


def _tower_width(config: Mapping[str, Any]) -> int:
    """Qwen2-VL calls `embed_dim` what others call `hidden_size`."""
    return int(config.get("embed_dim") or config["hidden_size"])


def _kernel(born: Born) -> Kernel:
    operations = {name[3] for name in born}
    fused = (each for each in (FLASH, EFFICIENT, CUDNN) if any(_is_of(each, name) for name in operations))
    return next(fused, PLAIN)


def _language(born: Born, setup: Setup, layers: int) -> Attention:
    kernel = _kernel(born)
    pairs = setup.tokens * setup.knobs.length
    operations = kernel.share * 4 * pairs * _width(setup) * layers
    return Attention(kernel, operations, _again(born))


def _is_of(kernel: Kernel, operation: str) -> bool:
    return any(mark in operation for mark in kernel.marks)


def _width(setup: Setup) -> int:
    """Heads × their size."""
    text = setup.text
    heads = text.get("num_attention_heads") or text.get("n_head") or 1
    return heads * (text.get("head_dim") or (setup.model.hidden_size or 0) // heads)


def _again(born: Born) -> float:
    """What part of forward's operations inside modules backward repeats, by what attention writes."""
    named = [(phase, held.nbytes) for (_, phase, module, op), held in born.items() if module and _is_attention(op)]
    forward = sum(nbytes for phase, nbytes in named if phase == "forward")
    return sum(nbytes for phase, nbytes in named if phase == "backward") / forward if forward else 0.0


def _is_attention(operation: str) -> bool:
    return ("attention" in operation and "backward" not in operation) or operation == "aten.bmm.default"
