"""Bytes that all other kernels read and write: each writes what is born, and reads what it is made of.

Knows: how much each operation reads for a byte that it writes, from what it is (`MOVED`). Does not know: kernels that
work in place, and what the card's own cache saves; the part of the memory's rate that is reached stands for both.
"""

from __future__ import annotations

from functools import lru_cache

from finefit.tape.born import Born

from .attention import CUDNN, EFFICIENT, FLASH
from .products import GROUPED, LINEAR

USUAL = 2.5
"""Between one operand and two."""
MOVED = {
    "adopted": 0.0,  # the batch: copied from the host meanwhile
    "aten.add.Tensor": 3.0,
    "aten.sub.Tensor": 3.0,
    "aten.cat.default": 2.0,
    "aten.clone.default": 2.0,
    "aten.neg.default": 2.0,
    "aten.silu.default": 2.0,
    "aten.mul.Scalar": 2.0,
    "aten.div.Scalar": 2.0,
    "aten.div.Tensor": 2.0,
    "aten.slice_backward.default": 2.0,
    "aten.zeros.default": 1.0,
    "aten.new_zeros.default": 1.0,
    "aten.full.default": 1.0,
    "aten.pow.Tensor_Scalar": 3.0,  # a norm's mean reads it once more
    "aten._to_copy.default": 2.25,  # between two bytes and four, either way
    "aten.empty.memory_format": 2.0,  # buffers of the fused head
    "aten.silu_backward.default": 3.0,
    "bitsandbytes.dequantize_4bit.default": 1.25,
    "bitsandbytes.dequantize_blockwise.default": 1.25,
    "bitsandbytes.gemm_4bit.default": 1.25,  # its copy of the weight
}
"""Bytes read and written for each that is born."""
PRODUCTS = (*LINEAR, GROUPED, "aten.bmm.default", "aten.baddbmm.default")


def moved_bytes(born: Born) -> tuple[float, float]:
    """By kernels that run once, and by those of forward that backward repeats."""
    once = again = 0.0
    for (category, phase, module, operation), held in born.items():
        if is_product(category, operation):
            continue
        nbytes = MOVED.get(operation, USUAL) * held.nbytes
        if phase == "backward" and module:
            again += nbytes
        else:
            once += nbytes
    return once, again


@lru_cache(maxsize=4096)
def is_product(category: str, operation: str) -> bool:
    """What `products` and `attention` count."""
    if any(mark in operation for kernel in (FLASH, EFFICIENT, CUDNN) for mark in kernel.marks):
        return True
    return category != "workspace" and operation in PRODUCTS
