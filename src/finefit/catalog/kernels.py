"""What libraries keep on a GPU beside tensors, by its compute capability."""

from __future__ import annotations

CUBLAS_BYTES = {9: 32 << 20, 10: 32 << 20, 12: 32 << 20}
"""By major compute capability. Source: `parseChosenWorkspaceSize` in aten/src/ATen/cuda/CublasHandlePool.cpp of torch's
main branch; older ones have it for 9.0 alone, and which release took Blackwell in is not established."""
CUBLAS_BYTES_BEFORE_HOPPER = 8_519_680
"""`:4096:2:16:8`: two blocks of 4096 KiB and eight of 16 KiB. Same source."""


def cublas_workspace_bytes(compute_capability: tuple[int, int]) -> int:
    """Of each thread that multiplies."""
    return CUBLAS_BYTES.get(compute_capability[0], CUBLAS_BYTES_BEFORE_HOPPER)
