"""Births and deaths of tensor storages, while real code runs.

Knows: which storage was born in which operation, phase and module, how many bytes it has, and when it died.
Works alike on real and on fake tensors, so that the same recorder makes the prediction and the measurement.
Does not know: what a kernel allocates and frees inside itself (`rules/workspace.py` adds those it has rows for).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode

from .bends.index_backward import in_place_in_backward

DEVICE = torch.ops.prim.device.default
Workspace = Callable[["Recorder", Any, tuple[Any, ...], Any], None]
"""A rule that adds what a kernel allocates inside: called with (recorder, operation, arguments, result)."""


@dataclass(slots=True)
class Birth:
    """One storage: how big it is, and where it came from."""

    nbytes: int
    category: str
    phase: str
    module: str
    op: str
    block: int | None
    # the repeated layer that it belongs to


class Recorder(TorchDispatchMode):
    """Enter it around real code; `births`, `events` and `marks` then hold the history.

    `events` holds storage numbers counted from 1: +n is the birth of storage n, -n its death.
    `marks` holds (position in events, label): the borders of the segments that `tape/` reads.
    """

    def __init__(self, workspaces: Iterable[Workspace] = ()) -> None:
        super().__init__()
        self.births: list[Birth] = []
        self.events: list[int] = []
        self.marks: list[tuple[int, str]] = []
        self.phase = "load"
        self.modules: list[str] = []
        self.block: int | None = None
        # the repeated layer that is running; outside of one, a result belongs where its input does
        self._workspaces = tuple(workspaces)
        self._number_of: dict[int, int] = {}
        self._watch: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    # What callers say

    def mark(self, label: str) -> None:
        self.marks.append((len(self.events), label))

    def adopt(self, tensors: Iterable[torch.Tensor], category: str, block: int | None = None, name: str = "") -> None:
        """Counts tensors that were born before or outside the recording; `name`: in the place of a module's."""
        for tensor in tensors:
            self._see(tensor, category, "adopted", block, name)

    def classify(self, tensors: Iterable[torch.Tensor], category: str) -> None:
        """Renames storages whose role shows only later (gradients, optimizer state, stored layer inputs)."""
        for birth in self._births_of(tensors):
            birth.category = category

    def rename(self, tensors: Iterable[torch.Tensor], op: str) -> None:
        """Says more of storages than that they were there before."""
        for birth in self._births_of(tensors):
            if birth.op == "adopted":
                birth.op = op

    def place(self, tensors: Iterable[torch.Tensor], like: torch.Tensor) -> None:
        """Storages that belong to the layer of another one: a parameter's optimizer state."""
        for parent in self._births_of([like]):
            for birth in self._births_of(tensors):
                birth.block = parent.block

    def hide(self, tensors: Iterable[torch.Tensor]) -> None:
        """Counts nothing for tensors that live in other memory than the one recorded."""
        for birth in self._births_of(tensors):
            birth.nbytes = 0

    def born(self, nbytes: int, category: str, op: str, block: int | None = None, name: str = "") -> int:
        """Notes a birth that no tensor shows; returns its number for `died`."""
        module = name or (self.modules[-1] if self.modules else "")
        where = self.block if block is None else block
        self.births.append(Birth(nbytes, category, self.phase, module, op, where))
        self.events.append(len(self.births))
        return len(self.births)

    def died(self, number: int) -> None:
        self.events.append(-number)

    def inside(self, sizes: Iterable[int], op: str) -> None:
        """Blocks that a kernel takes and gives back before it returns, the last one first."""
        numbers = [self.born(nbytes, "workspace", op) for nbytes in sizes if nbytes]
        for number in reversed(numbers):
            self.died(number)

    def _births_of(self, tensors: Iterable[torch.Tensor]) -> Iterator[Birth]:
        """Of those that were seen."""
        for tensor in tensors:
            number = self._number_of.get(tensor.untyped_storage()._cdata)
            if number is not None:
                yield self.births[number - 1]

    # What torch says

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is DEVICE and isinstance(args[0], FakeTensor):
            return args[0].fake_device  # two of three calls ask this alone; the modes below would say the same, slowly
        func = in_place_in_backward(func)
        result = func(*args, **(kwargs or {}))
        self._see_all(result, func, args[0] if args else None)
        if self.phase == "optimizer" and isinstance(result, torch.Tensor) and result is args[0]:
            self._written_into(result, args[1:])
        for workspace in self._workspaces:
            workspace(self, func, args, result)
        return result

    def _see_all(self, result: Any, op: Any, source: Any) -> None:
        """`source` is the first argument: a result belongs to its layer, item by item where both are lists."""
        if isinstance(result, torch.Tensor):
            self._see(result, "activation", op, self._block_of(source))
        elif isinstance(result, (list, tuple)):
            paired = isinstance(source, (list, tuple)) and len(source) == len(result)
            for index, item in enumerate(result):
                self._see_all(item, op, source[index] if paired else None)

    def _block_of(self, source: Any) -> int | None:
        """Only in the optimizer, which goes through all layers without running one."""
        if self.block is not None or self.phase != "optimizer" or not isinstance(source, torch.Tensor):
            return None
        return next((birth.block for birth in self._births_of([source])), None)

    def _written_into(self, tensor: torch.Tensor, others: Iterable[Any]) -> None:
        """What was made of nothing (a state, of `torch.zeros`) belongs where the first tensor does that is added to it,
        or multiplied."""
        for birth in self._births_of([tensor]):
            if birth.block is None:
                birth.block = next((block for block in map(self._block_of, others) if block is not None), None)

    def _see(self, tensor: torch.Tensor, category: str, op: Any, block: int | None = None, name: str = "") -> None:
        device = tensor.fake_device if isinstance(tensor, FakeTensor) else tensor.device
        if device.type == "meta":
            return
        storage = tensor.untyped_storage()
        key = storage._cdata
        known = self._number_of.get(key)
        nbytes = storage.nbytes()
        if known is not None:
            if self.births[known - 1].nbytes in (nbytes, 0):  # 0: hidden
                return
            self._forget(key, known)  # resized in place: the old block goes, a new one comes
        if nbytes == 0:
            return
        number = self.born(nbytes, category, _name(op), block, name)
        self._number_of[key] = number
        self._watch[number] = weakref.ref(storage, lambda _: self._forget(key, number))

    def _forget(self, key: int, number: int) -> None:
        if self._number_of.get(key) == number:
            del self._number_of[key]
            self._watch.pop(number, None)
            self.died(number)


@cache
def _name(op: Any) -> str:
    return str(op)


class ModuleNames:
    """Keeps `recorder.modules` the stack of modules whose forward is running (recomputation included).

    Names of a reference's modules begin with `reference.`.
    """

    def __init__(self, recorder: Recorder, model: nn.Module, reference: nn.Module | None = None) -> None:
        self._recorder = recorder
        self._names = {id(module): name for name, module in model.named_modules()}
        if reference is not None:
            self._names |= {id(module): f"reference.{name}" for name, module in reference.named_modules()}
        self._handles = [
            nn.modules.module.register_module_forward_pre_hook(self._enter),
            nn.modules.module.register_module_forward_hook(self._leave, always_call=True),
        ]

    def _enter(self, module: nn.Module, _args: Any) -> None:
        self._recorder.modules.append(self._names.get(id(module), type(module).__name__))

    def _leave(self, _module: nn.Module, _args: Any, _result: Any) -> None:
        if self._recorder.modules:
            self._recorder.modules.pop()

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()
