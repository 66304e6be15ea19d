"""What torch's CUDA kernels take from the caching allocator and give back before they return: one row an operation.

Each row names the file and function of torch's main branch in which it was read; none is measured yet, and the versions
of torch were not compared. Sizes are rounded up as the kernels round them, so that some are no polynomial of the length
between multiples of 128.

Looked up, and nothing to add: dropout, fused AdamW, cross entropy and `nll_loss`, both softmaxes forward; cuBLASLt (the
product with a bias) uses cuBLAS's own workspace (`unified_cublas_and_lt_workspaces`, CublasHandlePool.cpp); layer norm
backward has partial sums for more than 65,536 rows of a small width alone (layer_norm_kernel.cu, `M > 64 * 1024`).
Not known: what cuDNN takes for the convolution that makes patches of an image, and for attention backward; what CUB's
scan and sort take beside their inputs; tiles for keys and values in efficient attention, half precision, heads above
64, on cards of small shared memory (at most 13 MB, or 64 KB for each row and head where they are more than 200).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from ..dtypes import HALF
from ..recorder import Recorder

aten = torch.ops.aten
FLOAT32, INT64 = 4, 8


def kernel_workspaces(recorder: Recorder, func: Any, args: tuple[Any, ...], result: Any) -> None:
    row = ROWS.get(func)
    if row is not None:
        name, sizes = row
        recorder.inside(sizes(*args), name)


def _softmax_backward(grad: torch.Tensor, *_: Any) -> list[int]:
    """`grad * output` is materialised in the gradient's dtype.

    Source: aten/src/ATen/native/cuda/SoftMax.cu, `softmax_backward_cuda_out` (`Tensor tmp = grad * output`).
    """
    return [grad.nbytes]


def _flash_backward(
    grad: torch.Tensor, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *_: Any
) -> list[int]:
    """Row sums and the query's gradient in float32; for grouped queries, gradients of keys and values for every head.

    Source: aten/src/ATen/native/transformers/cuda/flash_attn/flash_api.cpp, `mha_bwd` (softmax_d, dq_accum,
    dk_expanded, dv_expanded), called by attention_backward.cu, `_flash_attention_backward`. The flash-attention package
    has the same (csrc/flash_attn/flash_api.cpp).
    """
    batch, heads, length, head = query.shape
    rows = _up(length, 128)
    width = _up(head, 32 if head <= 128 else 64)
    grouped = key.shape[1] != heads
    expanded = batch * key.shape[2] * heads * head * query.element_size() if grouped else 0
    sums, gradient = batch * heads * rows * FLOAT32, batch * rows * heads * width * FLOAT32
    return [_copied(grad), sums, gradient, expanded, expanded]


def _efficient_backward(
    grad: torch.Tensor, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *_: Any
) -> list[int]:
    """Row sums, and the query's gradient in tiles of float32 with 16 bytes of locks each.

    Source: aten/src/ATen/native/transformers/cuda/attention_backward.cu, `_efficient_attention_backward` (delta,
    workspace); mem_eff_attention/kernel_backward.h, `workspace_elements_gq` and `GradQTempStorage`; tiles by head as in
    mem_eff_attention/kernels/cutlassB.h. In float32 the row sums come from a product that dies before the tiles.
    """
    batch, heads, length, head = query.shape
    tile_rows = 64 if head <= 64 else 128
    tile = 16 + tile_rows * 64 * FLOAT32
    tiles = batch * heads * math.ceil(length / tile_rows) * math.ceil(head / 64) * tile
    product = 0 if query.dtype in HALF else grad.numel() * FLOAT32
    return [_copied(grad), batch * heads * length * FLOAT32, max(tiles, product)]


SORTED_ABOVE = 3072
ROWS_PER_THREAD = 10


def _embedding_backward(grad: torch.Tensor, indices: torch.Tensor, words: int, *_: Any) -> list[int]:
    """Sorted tokens, where the runs of each begin, and a float32 row for each run and every ten tokens.

    Source: aten/src/ATen/native/cuda/Embedding.cu, `embedding_dense_backward_cuda` (nothing up to 3072 tokens), and
    EmbeddingBackwardKernel.cu, `embedding_backward_cuda_kernel` (`max_segments`, `max_partial_segment`).
    """
    tokens, width = indices.numel(), grad.shape[-1]
    if tokens <= SORTED_ABOVE:
        return []
    index = indices.element_size()
    segments = min(tokens, words)
    partial = tokens // ROWS_PER_THREAD + segments
    sorting = [tokens * index] * 3  # sorted_indices, orig_indices, segment_offsets
    return [*sorting, segments * index, segments * index, INT64, INT64, partial * index, partial * width * FLOAT32]


def _index_put(
    target: torch.Tensor, indices: Any, values: torch.Tensor, accumulate: bool = False, *_: Any
) -> list[int]:
    """Adding at indices sorts them: the places of a mask, then four lists of one number for each.

    Source: aten/src/ATen/native/cuda/Indexing.cu, `index_put_with_sort_kernel` (linearIndex, sorted_indices,
    orig_indices, range).
    """
    if not accumulate:
        return []
    given = [index for index in indices if index is not None]
    masked = sum(index.dim() for index in given if index.dtype is torch.bool)
    indexed = masked + sum(index.dtype is not torch.bool for index in given)
    count = values.numel() // max(1, math.prod(target.shape[indexed:]))
    return [count * masked * INT64, *[count * INT64] * 4]


def _masked_scatter(target: torch.Tensor, mask: torch.Tensor, *_: Any) -> list[int]:
    """The sum of the mask up to every element of the target, and the mask in its shape.

    Source: aten/src/ATen/native/cuda/IndexKernel.cpp, `masked_scatter__cuda` (maskPrefixSum), and IndexKernel.cu,
    `launch_masked_scatter_kernel` (mask_cont). Left out where a row has one number a token (TRL's fused head): 9 bytes
    each.
    """
    if target.dim() < EMBEDDED:
        return []
    return [target.numel() * INT64, _spread(mask, target)]


def _masked_scatter_backward(grad: torch.Tensor, mask: torch.Tensor, sizes: Any, *_: Any) -> list[int]:
    """The places that are true in the mask, a number for each dimension; before them the mask in the target's shape,
    which is gone when the result comes.

    Source: aten/src/ATen/native/TensorAdvancedIndexing.cpp, `masked_scatter_backward_symint` (masked_select);
    cuda/IndexKernel.cpp, `masked_select_out_cuda_impl`; cuda/Nonzero.cu, `nonzero_cuda_out_impl` (self_, out_temp).
    """
    if grad.dim() < EMBEDDED:
        return []
    chosen = math.prod(sizes)
    return [chosen * grad.dim() * INT64, max(0, _spread(mask, grad) - chosen * grad.element_size())]


def _spread(mask: torch.Tensor, target: torch.Tensor) -> int:
    """A mask of the target's shape in one piece, where it is none."""
    return 0 if mask.expand(target.shape).is_contiguous() else target.numel()


EMBEDDED = 3
"""Dimensions of what images are put into: rows, tokens, and the width of a token."""

CHUNK = 65536


def _foreach_norm(tensors: list[torch.Tensor], *_: Any) -> list[int]:
    """A partial norm for every chunk of 65,536 elements, as many for each tensor as the largest one has.

    Source: aten/src/ATen/native/cuda/ForeachReduceOp.cu, `foreach_tensor_norm_cuda` (output_per_tensor).
    """
    chunks = max(math.ceil(tensor.numel() / CHUNK) for tensor in tensors)
    return [len(tensors) * chunks * FLOAT32]


def _up(number: int, multiple: int) -> int:
    return math.ceil(number / multiple) * multiple


def _copied(grad: torch.Tensor) -> int:
    """The kernels want (batch, length, heads, head) in one piece."""
    return 0 if grad.transpose(1, 2).is_contiguous() else grad.nbytes


ROWS: dict[Any, tuple[str, Callable[..., list[int]]]] = {
    aten._softmax_backward_data.default: ("softmax backward", _softmax_backward),
    aten._scaled_dot_product_flash_attention_backward.default: ("flash attention backward", _flash_backward),
    aten._scaled_dot_product_efficient_attention_backward.default: (
        "efficient attention backward",
        _efficient_backward,
    ),
    aten.embedding_dense_backward.default: ("embedding backward", _embedding_backward),
    aten.index_put.default: ("index_put", _index_put),
    aten.index_put_.default: ("index_put", _index_put),
    aten._index_put_impl_.default: ("index_put", _index_put),
    aten.masked_scatter.default: ("masked_scatter", _masked_scatter),
    aten.masked_scatter_backward.default: ("masked_scatter backward", _masked_scatter_backward),
    aten._foreach_norm.Scalar: ("foreach_norm", _foreach_norm),
}
