"""transformers' own trainer, with the stage told of every phase: for a machine without TRL.

Knows: whole logits and rows of one length, which need the memory that `trainer.Trainer` needs with `loss="full"`.
Does not know: TRL's fused head, padded rows, packed rows.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import TrainingArguments

from .staged import Staged

ONLY_TRLS = ("max_length", "dataset_kwargs")
"""SFTConfig's arguments that TrainingArguments lacks, of those that orders have."""


class PlainTrainer(Staged):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(data_collator=_together, **kwargs)

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        loss = super().compute_loss(model, inputs | {"use_cache": False}, *args, **kwargs)
        self.stage.phase("backward")
        return loss


def plain_arguments(arguments: dict[str, Any]) -> TrainingArguments:
    return TrainingArguments(**{name: value for name, value in arguments.items() if name not in ONLY_TRLS})


def _together(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Rows of one length as a batch, as TRL's collator makes it."""
    batch = {name: torch.tensor([row[name] for row in rows]) for name in ("input_ids", "labels")}
    return {**batch, "attention_mask": torch.ones_like(batch["input_ids"])}
