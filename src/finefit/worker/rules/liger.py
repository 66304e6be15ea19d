"""Liger's kernels on tensors without memory: its Python allocates as on a GPU, its Triton kernels do nothing.

Two things come from Liger (0.8). The layers' kernels (rotary embedding, RMSNorm, the gated MLP) are put in by the
trainer where `use_liger_kernel` is on; TRL 1.16 keeps its own fused head beside them. The fused linear cross entropy is
put in by our trainer where the loss is `liger`. What Liger does otherwise because it finds a processor, by file:

- backends/dispatch.py, `available_impls`: on an NVIDIA GPU its Triton kernels; others need packages that no plan uses.
- ops/fused_linear_cross_entropy.py, `_can_use_mm_out`: on CUDA each chunk's logits go into one buffer, and their
  gradient is multiplied straight into the input's.
- the same, `fused_linear_cross_entropy_forward`: from compute capability 8.0 on, half-precision chunks are added to the
  head's gradient by `addmm`, without the head-sized float32 temporary of the way that is left.

Not known: the number of multiprocessors. RMSNorm's backward (ops/rms_norm.py, `rms_norm_backward`) keeps a float32 row
of partial weight gradients for each, here for one: some 2 MB too little inside that call, where norms are trained.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch

from finefit.errors import BadInput, Problem

from ..dtypes import HALF
from . import triton

KERNELS = "nvidia-triton"
ADDMM_SINCE = (8, 0)
"""Compute capability."""


@contextmanager
def on_a_gpu(model: Any, compute_capability: tuple[int, int]) -> Iterator[None]:
    """Inside, `model` may be given Liger's kernels; what they replace for all models of its kind comes back after."""
    _refuse_without()
    with triton.importable():
        import liger_kernel.transformers as liger
        from liger_kernel.ops import fused_linear_cross_entropy as loss
        from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN as KNOWN

        dispatch = sys.modules["liger_kernel.backends.dispatch"]  # its package has a function of the same name
        kernels = {operation: _triton_kernels(dispatch, operation) for operation in _operations()}
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    if base.config.model_type not in KNOWN:
        raise BadInput(Problem(f"Liger has no kernels for {base.config.model_type}", where="use_liger_kernel"))
    apply = liger._apply_liger_kernel_to_instance
    code = vars(sys.modules[type(base).__module__])
    as_written = dict(code)
    try:
        with (
            triton.silent(),
            patch.object(liger, "_apply_liger_kernel_to_instance", _able_to_import(apply)),
            patch.object(dispatch, "available_impls", lambda operation, _device=None: kernels[operation]),
            patch.object(loss, "_can_use_mm_out", _can_use_mm_out),
            patch.object(loss, "torch", _torch_with_addmm(compute_capability)),
        ):
            yield
    finally:
        code.update(as_written)


def _refuse_without() -> None:
    if find_spec("liger_kernel") is None:
        hint = "pip install 'finefit[liger]'"
        raise BadInput(Problem("liger-kernel is not installed", where="use_liger_kernel", hint=hint))


def _able_to_import(apply: Any) -> Any:
    def applied(model: Any, **kernels: Any) -> None:
        with triton.importable():
            apply(model=model, **kernels)

    return applied


def _operations() -> list[str]:
    """What Liger has kernels for. They are imported here, not as they are first called: inside the step, the failed
    import of a package that is not there can keep the step's tensors alive.
    """
    from liger_kernel.backends import registry

    return list(registry._DISCOVERY_MAP)


def _triton_kernels(dispatch: Any, operation: str) -> list[str]:
    return [one.impl_name for one in dispatch.list_registered(operation) if one.impl_name == KERNELS]


def _can_use_mm_out(inputs: torch.Tensor, weight: torch.Tensor) -> bool:
    """As Liger's, the device left out."""
    if torch.is_grad_enabled() or inputs.dtype != weight.dtype:
        return False
    return not torch.is_autocast_enabled("cpu") or inputs.dtype == torch.get_autocast_dtype("cpu")


def _torch_with_addmm(compute_capability: tuple[int, int]) -> Any:
    """torch as the loss sees it: the product that would be added to the head's gradient takes no memory."""
    if compute_capability < ADDMM_SINCE:
        return torch

    def mm(first: torch.Tensor, second: torch.Tensor, *, out: torch.Tensor | None = None) -> torch.Tensor:
        if out is not None:
            return torch.mm(first, second, out=out)
        if first.dtype not in HALF:
            return torch.mm(first, second)
        second.to(first.dtype)  # a chunk of the input in the gradient's dtype, where they differ
        return torch.zeros((), dtype=torch.float32).expand(first.shape[0], second.shape[1])

    return SimpleNamespace(**{**vars(torch), "mm": mm})
