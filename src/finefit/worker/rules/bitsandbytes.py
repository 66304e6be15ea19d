"""What bitsandbytes' CUDA kernels allocate inside, seen by no tensor, and which product a trained 8-bit weight has.

In training a processor multiplies by a dequantised copy of the weight (bitsandbytes 0.50, autograd/_functions.py:
`matmul`, `MatMul8bitFp`); a GPU multiplies in 8 bits (`MatMul8bitLt`), and dequantises in backward alone.

Source: bitsandbytes 0.50, bitsandbytes/backends/cuda/ops.py. Past 1536 rows (`_gemm_4bit_custom_max_m`) the 4-bit
product dequantises the whole weight first (`_dequant_linear_fallback`); below, it depends on the card and the shape,
and the fallback is assumed from 512 rows on. The 8-bit product looks for outlier columns (`int8_vectorwise_quant`) and
multiplies into int32, then float16 (backends/default/ops.py `int8_scaled_mm`, `cdequant_mm_int32_fp16`). A whole 8-bit
weight in float32, which DoRA asks for, is two products, one beside the other (_ops.py, `int8_vectorwise_dequant`).
"""

from __future__ import annotations

import sys
from typing import Any

import torch

from ..recorder import Recorder

FALLBACK_ROWS = 512
FLOAT32 = 4


def answers() -> list[Any]:
    """Nothing where no weight is quantised, and bitsandbytes was not loaded."""
    library = sys.modules.get("bitsandbytes")
    return [] if library is None else [(library, "matmul", product)]


def product(
    inputs: Any, weight: Any, out: Any = None, state: Any = None, threshold: float = 0.0, bias: Any = None
) -> Any:
    from bitsandbytes.autograd._functions import MatMul8bitLt

    if state is None or not state.is_training:
        return NotImplemented  # it is this one already
    state.threshold = threshold or state.threshold
    return MatMul8bitLt.apply(inputs, weight, out, bias, state)


def workspace(recorder: Recorder, func: Any, args: tuple[Any, ...], result: Any) -> None:
    name = str(func)
    if not name.startswith("bitsandbytes."):
        return
    blocks = BLOCKS.get(name.split(".")[1])
    if blocks is not None:
        recorder.inside(blocks(args, result), name)


def _gemm_4bit(args: tuple[Any, ...], result: torch.Tensor) -> list[int]:
    inputs, _, (rows_out, columns), _, blocksize = args[:5]
    if inputs.numel() // inputs.shape[-1] <= FALLBACK_ROWS:
        return []
    elements = rows_out * columns
    statistics = -(-elements // blocksize) * FLOAT32
    return [statistics, statistics, elements * inputs.element_size()]


def _int8_vectorwise_quant(args: tuple[Any, ...], result: Any) -> list[int]:
    inputs = args[0]
    return [inputs.numel() * inputs.element_size(), inputs.numel()]  # |A|, and where it is an outlier


def _int8_mixed_scaled_mm(args: tuple[Any, ...], result: Any) -> list[int]:
    output = result[0]
    half = 0 if output.dtype is torch.float16 else output.numel() * 2
    return [output.numel() * 4, half]


def _int8_vectorwise_dequant(args: tuple[Any, ...], result: torch.Tensor) -> list[int]:
    return [result.nbytes]


BLOCKS = {
    "gemm_4bit": _gemm_4bit,
    "int8_vectorwise_quant": _int8_vectorwise_quant,
    "int8_vectorwise_dequant": _int8_vectorwise_dequant,
    "int8_mixed_scaled_mm": _int8_mixed_scaled_mm,
}
