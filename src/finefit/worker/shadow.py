"""Control tensors keep real values while everything else is fake.

Token ids, labels and masks steer the code: how many positions are trained, whether a batch is padded, how many
patches an image has. Each fake control tensor carries its real value beside it (its shadow); an operation whose
inputs all have shadows is computed for real as well, so that data-dependent code takes the road it would take.
No model-specific code. What has no shadow answers with a harmless constant (`ANSWER`); whom a router chooses is
unknown too, and shared out evenly (`_evenly`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_flatten, tree_map

from .bends.grouped_mm import grouped_mm, is_refused

aten = torch.ops.aten

LARGEST_SHADOW = 1 << 22
"""Elements. Control tensors are small; a shadow of anything larger would cost real memory."""

FACTORIES = {
    aten.arange.default,
    aten.arange.start,
    aten.arange.start_step,
    aten.zeros.default,
    aten.ones.default,
    aten.full.default,
    aten.scalar_tensor.default,
    aten.lift_fresh.default,
}
DATA_DEPENDENT_SHAPE = {
    aten.nonzero.default,
    aten.repeat_interleave.Tensor,
    aten._unique2.default,
    aten.unique_consecutive.default,
    aten.unique_dim.default,
    aten.masked_select.default,
    aten.bincount.default,
}
ANSWER = {True: 1.0, False: 1}
"""What `.item()` says of a tensor without a shadow, by "is floating point"."""


def shadow_of(tensor: torch.Tensor) -> torch.Tensor | None:
    return getattr(tensor, "_shadow", None)


def with_shadow(real: Any, mode: FakeTensorMode) -> Any:
    """A fake tensor of `real`'s shape, strides and dtype that remembers `real`; what is no tensor stays as it is."""
    if not isinstance(real, torch.Tensor):
        return real
    with mode:
        fake = torch.empty_strided(real.size(), real.stride(), dtype=real.dtype, device="cpu")
    return _bind(fake, real)


def _bind(fake: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    fake._shadow = real  # type: ignore[attr-defined]
    return fake


class ControlFlow(TorchDispatchMode):
    """Answers what a fake tensor cannot: values, lengths, truth. Enter it just above the fake mode."""

    def __init__(self, mode: FakeTensorMode) -> None:
        super().__init__()
        self._mode = mode

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is aten._local_scalar_dense.default:
            return self._item(args[0])
        if is_refused(func, args):
            return grouped_mm(func, args, kwargs)
        real = _compute(func, args, kwargs)
        if func is aten.equal.default and isinstance(args[0], FakeTensor):
            return True if real is None else real
        if func in DATA_DEPENDENT_SHAPE and real is not None:
            return tree_map(lambda value: with_shadow(value, self._mode), real)
        if func is aten.index.Tensor:
            args = (args[0], self._counted(args[1]))
        elif func in (aten.masked_scatter.default, aten.masked_scatter_backward.default):
            real = None
        result = func(*args, **kwargs)
        if real is not None:
            _bind_all(result, real, _largest(args))
        elif func is aten.topk.default:
            _choose(result[1], among=args[0].shape[-1])
        elif isinstance(result, FakeTensor) and result is args[0]:
            _forget(result)
        return result

    def _item(self, tensor: torch.Tensor) -> Any:
        real = shadow_of(tensor) if isinstance(tensor, FakeTensor) else tensor
        if real is not None:
            with _disable_current_modes():
                return real.item()
        if tensor.dtype is torch.bool:
            return False
        return ANSWER[tensor.dtype.is_floating_point]

    def _counted(self, indices: Any) -> list[Any]:
        """Boolean masks become integer indices, whose number of rows a fake tensor can carry."""
        counted: list[Any] = []
        for index in indices:
            if index is None or index.dtype not in (torch.bool, torch.uint8):
                counted.append(index)
                continue
            real = shadow_of(index) if isinstance(index, FakeTensor) else index
            with _disable_current_modes():
                everywhere = torch.ones(index.shape, dtype=torch.bool) if real is None else real
                places = [place.contiguous() for place in everywhere.nonzero(as_tuple=True)]
            counted.extend(with_shadow(place, self._mode) for place in places)
        return counted


def _choose(indices: torch.Tensor, among: int) -> None:
    """The largest of unknown values are a mixture's experts: which of them, steers code that runs one by one."""
    if isinstance(indices, FakeTensor) and 0 < indices.numel() <= LARGEST_SHADOW:
        with _disable_current_modes():
            _bind(indices, _evenly(indices.shape, among))


def _evenly(shape: torch.Size, among: int) -> torch.Tensor:
    """Every row chooses those that follow the last row's, so that each is chosen as often as the others."""
    return (torch.arange(shape.numel()) % among).reshape(shape)


def _compute(func: Any, args: Any, kwargs: Any) -> Any:
    """The real result of an operation on control tensors, or None where some input has no real value."""
    if any(isinstance(value, FakeTensor) and shadow_of(value) is None for value in args):
        return None
    flat, _ = tree_flatten((args, kwargs))
    fakes = [value for value in flat if isinstance(value, FakeTensor)]
    if fakes:
        if any(shadow_of(fake) is None for fake in fakes):
            return None
    elif func not in FACTORIES or not _is_small(func, args):
        return None
    if torch.Tag.pointwise in func.tags and _spread([tree_map(_real, fake) for fake in fakes]) > _largest(args):
        return None
    with _disable_current_modes(), torch.no_grad():
        real_args, real_kwargs = tree_map(_real, args), tree_map(_real, kwargs)
        try:
            return func(*real_args, **real_kwargs)
        except (RuntimeError, TypeError, NotImplementedError):
            return None  # no real kernel for it: the value stays unknown


def _spread(tensors: Sequence[torch.Tensor]) -> int:
    """Elements of a result with one for every place of all of them, as a mask has of tokens that are asked and told."""
    return torch.broadcast_shapes(*(tensor.shape for tensor in tensors)).numel()


def _is_small(func: Any, args: Any) -> bool:
    if func in (aten.zeros.default, aten.ones.default, aten.full.default):
        return torch.Size(args[0]).numel() <= LARGEST_SHADOW
    return True


def _forget(fake: torch.Tensor) -> None:
    """Into a tensor whose value was known, something was written that is not."""
    fake._shadow = None  # type: ignore[attr-defined]


def _real(value: Any) -> Any:
    return shadow_of(value) if isinstance(value, FakeTensor) else value


def _largest(args: Any) -> int:
    """Elements that a result may have: as many as a batch brought itself, pictures too, are not more than are there."""
    shadows = [shadow_of(value) for value in args if isinstance(value, FakeTensor)]
    return max([LARGEST_SHADOW, *(shadow.numel() for shadow in shadows if shadow is not None)])


def _bind_all(fake: Any, real: Any, largest: int) -> None:
    if isinstance(fake, FakeTensor) and isinstance(real, torch.Tensor):
        if real.numel() <= largest and fake.shape == real.shape:
            _bind(fake, real)
    elif isinstance(fake, (list, tuple)) and isinstance(real, (list, tuple)):
        for one_fake, one_real in zip(fake, real, strict=False):
            _bind_all(one_fake, one_real, largest)
