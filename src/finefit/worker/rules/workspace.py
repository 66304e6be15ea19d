"""The workspace of cuBLAS: taken from the caching allocator, shown by no tensor, never given back."""

from __future__ import annotations

from typing import Any

import torch

from finefit.catalog.kernels import cublas_workspace_bytes

from ..recorder import Recorder

aten = torch.ops.aten
MATMULS = {aten.mm.default, aten.addmm.default, aten.bmm.default, aten.baddbmm.default, aten.mm.out}


class CublasWorkspace:
    """cuBLAS holds one workspace per thread that multiplies: the forward's and the backward's. Never given back."""

    def __init__(self, compute_capability: tuple[int, int]) -> None:
        self.nbytes = cublas_workspace_bytes(compute_capability)
        self._threads: set[bool] = set()

    def __call__(self, recorder: Recorder, func: Any, args: tuple[Any, ...], result: Any) -> None:
        in_backward = recorder.phase == "backward"
        if func in MATMULS and in_backward not in self._threads:
            self._threads.add(in_backward)
            recorder.born(self.nbytes, "workspace", "cublas")
