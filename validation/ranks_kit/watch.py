"""What watches a rank while it trains: a recorder that sees what engines do, and a stage that tells it the phases.

Knows: every storage that an operation makes on this thread, those inside of sharded tensors and those that C++ makes
through torch's dispatcher (DDP's buckets) among them. Does not know: what gloo takes for itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import torch
from torch._guards import active_fake_mode
from torch.distributed.tensor import DTensor
from torch.utils._python_dispatch import is_traceable_wrapper_subclass_type

from finefit.worker.quantized import hidden_tensors
from finefit.worker.recorder import Recorder
from finefit.worker.stage import Stage

from .phases import STATISTICS
from .runs import STEPS

SECONDS = 0.01
"""Between phases, so that nothing of the one before is held by another thread (`bends/gloo_lets_go.py`)."""


class RankRecorder(Recorder):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if active_fake_mode() is not None:  # how a sharded tensor's operation finds the shape of its result
            return func(*args, **(kwargs or {}))
        if any(is_traceable_wrapper_subclass_type(kind) for kind in types):
            return NotImplemented  # a wrapper's own operations come by again, with what it wraps
        return super().__torch_dispatch__(func, types, args, kwargs)


class RankStage(Stage):
    """Marks the phases of `STEPS` optimizer steps, and says then what is held."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self._step, self._micro = 0, 0
        recorder.mark("0/0/load")

    def batches(self, batches: list[dict[str, Any]], items: Any) -> tuple[list[dict[str, Any]], Any]:
        self._micro = -1
        self.phase("batch")
        self.recorder.adopt((value for batch in batches for value in batch.values()), "batch")
        return batches, items

    def phase(self, name: str) -> None:
        if self._step == STEPS:
            return
        time.sleep(SECONDS)
        self._micro += name == "forward"
        self.recorder.phase = name
        self.recorder.mark(f"{self._step}/{max(self._micro, 0)}/{name}")

    def end_step(self, trainer: Any) -> None:
        self._step += 1
        if self._step == STEPS:
            time.sleep(SECONDS)
            classify(self.recorder, trainer)
            self.recorder.mark("end")


def adopt(recorder: Recorder, model: Any, copied: Any = None) -> None:
    """What is there before training; `copied`: a frozen copy, or None. Statistics of quantised weights are out of sight
    when FSDP2 has wrapped these."""
    recorder.adopt([*parameters_of(model), *model.buffers()], "weight")
    recorder.adopt(hidden_tensors(model), STATISTICS)
    if copied is not None:
        recorder.adopt([*parameters_of(copied), *copied.buffers(), *hidden_tensors(copied)], "reference")


def parameters_of(model: Any) -> Iterator[torch.Tensor]:
    """This rank's part of each."""
    for parameter in model.parameters():
        yield local(getattr(parameter, "ds_tensor", parameter))


def local(tensor: torch.Tensor) -> torch.Tensor:
    return tensor._local_tensor if isinstance(tensor, DTensor) else tensor


def classify(recorder: Recorder, trainer: Any) -> None:
    """Everything that was recorded, by what it is to the rank now; what has no place here is the rest.

    Under FSDP the parts of what is trained are float32, computed with in bfloat16: states, as DeepSpeed's are that it
    keeps beside.
    """
    for birth in recorder.births:
        if birth.category != STATISTICS:
            birth.category = "rest"
    model, engine = trainer.model, trainer.model_wrapped
    optimizer = innermost(trainer.optimizer)
    masters = [local(master) for master in optimizer.state]
    moments = [local(each) for values in optimizer.state.values() for each in values.values() if torch.is_tensor(each)]
    recorder.classify([*masters, *moments], "optimizer")
    gradients = [local(each.grad) for each in [*model.parameters(), *optimizer.state] if each.grad is not None]
    flat = getattr(getattr(engine, "optimizer", None), "grad_partitions_flat_buffer", None)
    recorder.classify([*gradients, *([] if flat is None else [flat])], "gradient")
    handles = [module._handle for module in engine.modules() if getattr(module, "_handle", None) is not None]
    of_flat = [getattr(one.flat_param, name, None) for one in handles for name in ("grad", "_saved_grad_shard")]
    recorder.classify([each for each in of_flat if each is not None], "gradient")
    if "FSDP" in type(engine).__name__ or handles:
        recorder.classify([local(one) for one in model.parameters() if not one.requires_grad], "weight")
    else:
        recorder.classify(parameters_of(model), "weight")
        recorder.classify(hidden_tensors(model), STATISTICS)  # those of now: they may have been made anew


def innermost(optimizer: Any) -> Any:
    """torch's, in those of accelerate and DeepSpeed."""
    while getattr(optimizer, "optimizer", optimizer) is not optimizer:
        optimizer = optimizer.optimizer
    return optimizer
