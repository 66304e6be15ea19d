"""TRL's fused head takes its Triton road on a GPU: only trained positions, no float32 copies of the weight.

`trl.kernels.chunked_logprob` (TRL 1.16) asks `_use_triton(device)`; fake tensors say "cpu". The Triton kernels fold a
tile in place and allocate nothing, so they become calls that do nothing. `_addmm_fp32` on CUDA accumulates with
`torch.addmm(..., out_dtype=float32)` and copies nothing either.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from unittest.mock import patch

import trl.trainer.utils as trl_utils
from trl.kernels import chunked_logprob

from .triton import SilentKernel


@contextmanager
def on_a_gpu() -> Iterator[None]:
    triton = SimpleNamespace(cdiv=lambda count, size: -(-count // size))
    with (
        patch.object(chunked_logprob, "_use_triton", lambda _device: True),
        patch.object(trl_utils, "_use_triton", lambda _device: True),
        patch.object(chunked_logprob, "_forward_kernel", SilentKernel()),
        patch.object(chunked_logprob, "_backward_kernel", SilentKernel()),
        patch.object(chunked_logprob, "_addmm_fp32", lambda _acc, _a, _b: None),
        patch.object(chunked_logprob, "triton", triton, create=True),
    ):
        yield
