"""The stage of a rehearsal: real batches come to it, and fake ones go on."""

from __future__ import annotations

from typing import Any

from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import _disable_current_modes

from .recorder import Recorder
from .rules.paged import paged_state
from .shadow import with_shadow
from .stage import RecordedStage


class FakeStage(RecordedStage):
    """A recorded stage whose batches are fake tensors with real values beside them."""

    def __init__(self, recorder: Recorder, mode: FakeTensorMode, on_gpu: bool) -> None:
        super().__init__(recorder)
        self._mode = mode
        self._on_gpu = on_gpu

    def begin(self, trainer: Any) -> None:
        if self._on_gpu:  # torch's default on a GPU, refused for fake tensors: torch/optim/optimizer.py
            for group in trainer.optimizer.param_groups:
                if group.get("foreach", 0) is None and not group.get("fused"):
                    group["foreach"] = True
        super().begin(trainer)

    def end_step(self, trainer: Any) -> None:
        if self._on_gpu and self.step == 0:
            self.recorder.hide(paged_state(trainer.optimizer, trainer.args.optim))
        super().end_step(trainer)

    def batches(self, batches: list[dict[str, Any]], items: Any) -> tuple[list[dict[str, Any]], Any]:
        with _disable_current_modes():
            batches = [self._faked(batch) for batch in batches]
            items = None if items is None else with_shadow(items, self._mode)
        return super().batches(batches, items)

    def held_out(self, batch: dict[str, Any]) -> dict[str, Any]:
        with _disable_current_modes():
            batch = self._faked(batch)
        return super().held_out(batch)

    def _faked(self, batch: dict[str, Any]) -> dict[str, Any]:
        """A GPU is sent a copy of every entry; on the processor two entries may be one tensor."""
        if self._on_gpu:
            return {key: with_shadow(value, self._mode) for key, value in batch.items()}
        fakes = {id(value): with_shadow(value, self._mode) for value in batch.values()}
        return {key: fakes[id(value)] for key, value in batch.items()}
