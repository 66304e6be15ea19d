"""Whether an engine can run on this machine: what it is made of, and what it compiles with.

Knows: whether DeepSpeed is installed, and a C++ compiler. Does not know: whether an installed library can be imported.
"""

from __future__ import annotations

import shutil
from importlib.util import find_spec

from finefit.errors import BadInput, Problem
from finefit.nouns.engine import DeepSpeed, Engine

PIP = "pip install 'finefit[deepspeed]'"


def refuse_lacking(engine: Engine | None) -> None:
    """Before anything runs. Raises `BadInput`."""
    if isinstance(engine, DeepSpeed) and find_spec("deepspeed") is None:
        why = f"the plan is DeepSpeed's ZeRO {engine.stage}, which is an extra"
        raise BadInput(Problem("DeepSpeed is not installed", where="zero_stage", why=why, hint=PIP))


def has_compiler() -> bool:
    """DeepSpeed compiles the optimizer that steps on the processor; without one torch's steps there."""
    return any(map(shutil.which, ("c++", "g++", "clang++")))
