"""transformers' own trainer, with the stage told of every phase: for a machine without TRL.

Knows: whole logits and rows of one length, which need the memory that `trainer.Trainer` needs with `loss="full"`.
Does not know: TRL's fused head, padded rows, packed rows.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import _disable_current_modes
from transformers import Trainer as HuggingFaceTrainer
from transformers import TrainingArguments

from .stage import Stage, StageCallback

ONLY_TRLS = ("max_length", "dataset_kwargs")
"""SFTConfig's arguments that TrainingArguments lacks, of those that orders have."""


class PlainTrainer(HuggingFaceTrainer):
    def __init__(self, *, stage: Stage, **kwargs: Any) -> None:
        self.stage = stage
        callback = StageCallback(stage)
        super().__init__(callbacks=[callback], data_collator=_together, **kwargs)
        callback.trainer = self

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
        with _disable_current_modes():  # loading is not part of the step
            batches, items = super().get_batch_samples(*args, **kwargs)
        return self.stage.batches(batches, items)

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        self.stage.phase("forward")
        loss = super().training_step(*args, **kwargs)
        self.stage.phase("optimizer")
        return loss

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        loss = super().compute_loss(model, inputs | {"use_cache": False}, *args, **kwargs)
        self.stage.phase("backward")
        return loss

    def end_step(self) -> None:
        """Nothing of a step is held."""


def plain_arguments(arguments: dict[str, Any]) -> TrainingArguments:
    return TrainingArguments(**{name: value for name, value in arguments.items() if name not in ONLY_TRLS})


def _together(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Rows of one length as a batch, as TRL's collator makes it."""
    batch = {name: torch.tensor([row[name] for row in rows]) for name in ("input_ids", "labels")}
    return {**batch, "attention_mask": torch.ones_like(batch["input_ids"])}
