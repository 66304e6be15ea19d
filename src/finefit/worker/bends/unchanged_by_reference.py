"""TRL turns checkpointing off for the reference, and on for every layer after it.

TRL 1.16, `trl.models.utils.disable_gradient_checkpointing`: where only some layers are checkpointed, all of them are
after the first step. Here each layer is afterwards what it was before.
Ends when the restored state is that of each layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from trl.trainer import dpo_trainer


@contextmanager
def some_checkpointed() -> Iterator[None]:
    with patch.object(dpo_trainer, "disable_gradient_checkpointing", _disabled):
        yield


@contextmanager
def _disabled(model: Any, _words: Any = None) -> Iterator[None]:
    checkpointed = [module for module in model.modules() if getattr(module, "gradient_checkpointing", False)]
    for module in checkpointed:
        module.gradient_checkpointing = False
    try:
        yield
    finally:
        for module in checkpointed:
            module.gradient_checkpointing = True
