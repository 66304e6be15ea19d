"""Nothing is compiled in a rehearsal, and nothing waits for a compiler.

bitsandbytes (seen in 0.50) has functions compiled as it is imported, which imports torch's inductor: a tenth of the
start of a rehearsal. torch (seen in 2.13) wraps what a dispatch mode does, so that no compiler looks into it, and every
operation goes through three modes. Ends when bitsandbytes asks for a compiler as it is called, and the wrap is free.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


def nothing_is_compiled() -> None:
    """Of this process, from now on: call it before other libraries are imported, and modes made."""
    torch: Any = import_module("torch")
    torch.compile = torch._disable_dynamo = _as_it_is


def _as_it_is(function: Any = None, *_: Any, **__: Any) -> Any:
    """A decorator of either form, or a call."""
    return (lambda given: given) if function is None else function
