"""The pass of the reference leaves the model as it was.

TRL 1.16, `trl.models.utils.disable_gradient_checkpointing`: checkpointing is off for the reference, and on for every
layer after it: where only some layers are checkpointed, all of them are after the first step.
DeepSpeed 0.19, runtime/zero/parameter_offload.py, `_post_backward_module_hook`: each forward pass begins to count anew
how many gradients a module waits for before ZeRO 3 lets its weights go. After the pass of a reference that is the model
with its adapters off the counts are those of that pass, which waits for none: backward gathers every layer, one after
another, and lets none go before the end (10 layers: 10.3 MB for 8.7).

Here each layer is checkpointed as before, and each module waits for as many gradients as before.
Ends when TRL restores the first, and DeepSpeed counts no gradients of a pass that has none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from trl.trainer import dpo_trainer

WAITS_FOR = "ds_grads_remaining"


@contextmanager
def unchanged_by_reference() -> Iterator[None]:
    with patch.object(dpo_trainer, "disable_gradient_checkpointing", _restored):
        yield


@contextmanager
def _restored(model: Any, _words: Any = None) -> Iterator[None]:
    checkpointed = [module for module in model.modules() if getattr(module, "gradient_checkpointing", False)]
    waits = {module: vars(module)[WAITS_FOR] for module in model.modules() if WAITS_FOR in vars(module)}
    for module in checkpointed:
        module.gradient_checkpointing = False
    try:
        yield
    finally:
        for module in checkpointed:
            module.gradient_checkpointing = True
        for module, count in waits.items():
            setattr(module, WAITS_FOR, count)
