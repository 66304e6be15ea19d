"""A trainer that tells its stage of every phase: what our own trainers have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import _disable_current_modes
from transformers import Trainer as HuggingFaceTrainer
from transformers import TrainerCallback

from .stage import Stage


class Staged(HuggingFaceTrainer):
    """Comes before the trainer that it adds to. `compute_loss` is left to say when backward starts."""

    def __init__(self, *args: Any, stage: Stage, callbacks: Sequence[TrainerCallback] = (), **kwargs: Any) -> None:
        self.stage = stage
        callback = StageCallback(stage)
        super().__init__(*args, callbacks=[callback, *callbacks], **kwargs)
        callback.trainer = self

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
        with _disable_current_modes():  # data is loaded for real, also in a rehearsal
            batches, items = super().get_batch_samples(*args, **kwargs)
        return self.stage.batches(batches, items)

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        self.stage.phase("forward")
        loss = super().training_step(*args, **kwargs)
        self.stage.phase("optimizer")
        return loss

    def end_step(self) -> None:
        """Lets go of what was held until the end of the step."""


class StageCallback(TrainerCallback):
    """Tells the stage what only the trainer's callbacks hear."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.trainer: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.stage.begin(self.trainer)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.trainer.end_step()
        self.stage.phase("resident")
        self.stage.end_step(self.trainer)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.stage.close()
