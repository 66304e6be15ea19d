"""Triton without a GPU: its kernels become calls that do nothing, so that the Python around them runs as it is.

Kernels write into tensors that their wrappers allocate and take no memory themselves. Where Triton is installed its
launches are silenced (triton 3, `triton/runtime/jit.py` and `autotuner.py`: whatever is launched goes through `run`);
where it is not (it has wheels for Linux alone), a stand-in answers while a library that needs it is imported.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any
from unittest.mock import patch


class SilentKernel:
    def __getitem__(self, grid: Any) -> Any:
        return lambda *_args, **_kwargs: None


def is_installed() -> bool:
    return find_spec("triton") is not None


@contextmanager
def silent() -> Iterator[None]:
    """Inside, launches of real kernels do nothing."""
    with ExitStack() as patches:
        if is_installed():
            from triton.runtime.autotuner import Autotuner, Heuristics
            from triton.runtime.jit import JITFunction

            for kernel in (JITFunction, Autotuner, Heuristics):
                patches.enter_context(patch.object(kernel, "run", lambda *_args, **_kwargs: None))
        yield


@contextmanager
def importable() -> Iterator[None]:
    """Inside, libraries that need Triton can be imported; they keep the stand-in, nobody else sees it."""
    if is_installed():
        yield
        return
    finder = _StandIn()
    sys.meta_path.append(finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name.partition(".")[0] == "triton"]:
            del sys.modules[name]


class _StandIn(MetaPathFinder, Loader):
    """Finds `triton` and every module in it."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(fullname, self, is_package=True) if fullname.partition(".")[0] == "triton" else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__.update(CONTENTS.get(module.__name__, {}))


class _Module(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything()


class _Anything:
    """A dtype, a configuration, a decorator: whatever a kernel's text names and no wrapper reads."""

    def __call__(self, *_args: Any, **_kwargs: Any) -> Any:
        return _Anything()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything()


class _Constant:
    """`triton.language.constexpr`: wrappers compare its value."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _jit(function: Any = None, **_options: Any) -> Any:
    return (lambda _function: SilentKernel()) if function is None else SilentKernel()


CONTENTS: dict[str, dict[str, Any]] = {
    "triton": {
        "__version__": "3.4.0",
        "jit": _jit,
        "autotune": lambda *_args, **_kwargs: lambda kernel: kernel,
        "heuristics": lambda *_args, **_kwargs: lambda kernel: kernel,
        "cdiv": lambda count, size: -(-count // size),
        "next_power_of_2": lambda number: 1 << (int(number) - 1).bit_length(),
    },
    "triton.language": {"constexpr": _Constant},
}
"""What wrappers use, besides launching: as in triton 3, `triton/__init__.py` and `triton/language/core.py`."""
