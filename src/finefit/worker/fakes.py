"""The fake mode of a rehearsal: torch's own, of fixed sizes, right where it is wrong and quick where it is slow.

An operation on fake tensors took torch 0.4 ms, half of them to ask itself whether it met the same before: it keeps its
answers under every word that it has for the arguments (`FakeTensorMode._cache_key`, seen in 2.6 to 2.13). Here its key
is looked up by fewer words; what is kept under it is torch's own. Of such an answer a new tensor is made without asking
again what was asked of the first one (`_get_output_tensor_from_cache_entry`). Where a torch asks for nothing of these
names, all goes on as it does without.
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
        self._made: tuple[torch.device, dict[str, Any]] | None = None
        # of a tensor that torch made of an answer: its device and its attributes
        self._usual: dict[int, tuple[Any, bool]] = {}

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

    def _get_output_tensor_from_cache_entry(self, state: Any, entry: Any, *rest: Any) -> Any:
        """`rest`: a key, the operation and its arguments."""
        if self._made is None or not self._is_usual(entry, self._made[0]):
            made = super()._get_output_tensor_from_cache_entry(state, entry, *rest)
            if type(made) is FakeTensor and entry.inplace_idx is None and made.constant is None:
                self._made = made.fake_device, dict(vars(made))
            return made
        metadata, (func, args) = entry.metadata, rest[-2:]
        elements = torch.empty_strided(metadata.shape, metadata.stride, dtype=metadata.dtype, device="meta")
        if func.is_view:
            storage = args[entry.view_idx].untyped_storage()
            elements.set_(storage, metadata.storage_offset, metadata.shape, metadata.stride)
        device, attributes = self._made
        made = torch.Tensor._make_subclass(
            FakeTensor, elements, metadata.requires_grad, dispatch_device=True, device_for_backend_keys=device
        )
        if self._allow_unsafe_data_ptr_access:  # as torch's own constructor of fake tensors
            torch._C._set_warn_deprecated_on_mutable_data_ptr(made)
        else:
            torch._C._set_throw_on_mutable_data_ptr(made)
        vars(made).update(attributes)
        return made

    def _is_usual(self, entry: Any, device: torch.device) -> bool:
        """Whether it is a new tensor of dense numbers, whose sizes are known."""
        if id(entry) not in self._usual:
            told = entry.metadata
            self._usual[id(entry)] = (
                entry,
                (
                    told is not None
                    and entry.inplace_idx is None
                    and told.layout is torch.strided
                    and not (told.is_conj or told.is_neg)
                    and told.device == device
                    and set(map(type, (*told.shape, *told.stride, told.storage_offset))) <= {int}
                ),
            )
        return self._usual[id(entry)][1]

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
