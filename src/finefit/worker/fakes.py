"""The fake mode of a rehearsal: torch's own, of fixed sizes, right where it is wrong and quick where it is slow.

An operation on fake tensors took torch 0.4 ms, half of them to ask itself whether it met the same before: it keeps its
answers under every word that it has for the arguments (`FakeTensorMode._cache_key`, seen in 2.6 to 2.13). Here its key
is looked up by fewer words; what is kept under it, and how, is torch's own. Where a torch asks for no key of this name,
all goes on as it does without.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from .bends.norm_statistics import LAYER_NORM, with_right_statistics

UNSAFE_VIEW, VIEW = torch.ops.aten._unsafe_view.default, torch.ops.aten.view.default
PLAIN = frozenset(
    (bool, int, float, str, type(None), torch.dtype, torch.device, torch.layout, torch.memory_format, torch.Size)
)
"""What is a word as it is. With its type, since 1 is 1.0 and True."""


class Fakes(FakeTensorMode):
    """Fake tensors say that they are a processor's; `on_gpu`: what is computed is what a GPU computes. Tensors that are
    not fake may meet them."""

    def __init__(self, *, on_gpu: bool = False) -> None:
        super().__init__(allow_non_fake_inputs=True)
        self._on_gpu = on_gpu
        self._keys: dict[tuple[Any, ...], Any] = {}

    def dispatch(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """torch keeps no answer of `_unsafe_view`, which follows every product of three dimensions; below autograd it
        is a view, of which it does."""
        result: Any = super().dispatch(VIEW if func is UNSAFE_VIEW else func, types, args, kwargs or {})
        if func is LAYER_NORM:
            return with_right_statistics(result, args[0], args[2], on_gpu=self._on_gpu)
        return result

    def _cache_key(self, state: Any, func: Any, args: Any, kwargs: Any) -> Any:
        words = [func, torch.get_default_dtype(), torch.is_inference_mode_enabled()]
        if not (self._said(args, words) and self._said(kwargs.items(), words)):
            return super()._cache_key(state, func, args, kwargs)
        quick = tuple(words)
        known = self._keys.get(quick)
        if known is None:
            known = self._keys[quick] = super()._cache_key(state, func, args, kwargs)
        return known

    def _said(self, args: Iterable[Any], words: list[Any]) -> bool:
        """Adds what an answer depends on; False where torch has to look itself."""
        for arg in args:
            kind = type(arg)
            if kind in PLAIN:
                words += (kind, arg)
            elif isinstance(arg, FakeTensor):
                if arg.fake_mode is not self or arg.constant is not None or arg.layout is not torch.strided:
                    return False
                words += (
                    arg.dtype, arg.shape, arg.stride(), arg.storage_offset(), arg.untyped_storage().nbytes(),
                    arg.fake_device, arg.requires_grad, arg.is_conj(), arg.is_neg(), arg.is_inference(),
                )  # fmt: skip
            elif kind is list or kind is tuple:
                words += (kind, len(arg))
                if not self._said(arg, words):
                    return False
            else:
                return False
        return True
