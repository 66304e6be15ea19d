"""TRL's trainer of preferences (DPO), with the stage told of every phase, and the reference that it compares with.

A row is a prompt and two answers; both go through the model in one forward pass, the chosen ones first. Then, without
gradients, the reference says of the same sequences how likely they are: the model itself with its adapters off, a
frozen copy of it, or the rows, where it was asked before training. TRL (1.16) builds logits of neither: its fused head.

Knows: rows as token ids. Does not know: evaluation, images, and the forward passes before training in which a
precomputed reference is asked, which take less than a step does.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from copy import deepcopy
from typing import Any
from unittest.mock import patch

import torch
from torch import nn
from transformers import PretrainedConfig
from trl import DPOConfig, DPOTrainer
from trl.trainer import dpo_trainer

from .bends.cpu_packing import keep_trainable_layout
from .bends.made_adapter import made_adapter
from .bends.some_checkpointed import some_checkpointed
from .build import empty_model
from .staged import Staged

ONLY_SFTS = ("dataset_kwargs", "assistant_only_loss")
"""SFTConfig's arguments that DPOConfig lacks, of those that orders have."""
SFT = {"name": "sft"}
KNOWN = "ref_chosen_logps"
"""The column of rows whose reference was asked."""


class PreferenceTrainer(Staged, DPOTrainer):
    """`ref_model`: a frozen copy; None: adapters off, or precomputed (`args` say which)."""

    def __init__(self, *, model: Any, train_dataset: Any, **kwargs: Any) -> None:
        is_known = KNOWN in train_dataset.column_names
        unhashed = patch.object(dpo_trainer, "hash_module", lambda _: "") if is_known else nullcontext()
        with made_adapter(model) as made, unhashed:  # of no use, and nothing that a fake tensor has
            super().__init__(**made, train_dataset=train_dataset, **kwargs)

    def compute_loss(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        with some_checkpointed():
            loss = super().compute_loss(*args, **kwargs)
        if self.model.training:
            self.stage.phase("backward")
        return loss

    def _prepare_dataset(self, dataset: Any, *args: Any) -> Any:
        return dataset if "prompt_ids" in dataset.column_names else super()._prepare_dataset(dataset, *args)

    def _precompute_ref_logps(self, dataset: Any, *args: Any) -> Any:
        return dataset if KNOWN in dataset.column_names else super()._precompute_ref_logps(dataset, *args)


def task_of(orders: Mapping[str, Any]) -> Mapping[str, Any]:
    """Where orders name none, it is training on rows."""
    task: Mapping[str, Any] = orders.get("task", SFT)
    return task


def preference_arguments(orders: Mapping[str, Any], arguments: Mapping[str, Any], folder: str) -> DPOConfig:
    """Those of a trainer on rows, as far as both know them."""
    task = task_of(orders)
    words = {name: value for name, value in arguments.items() if name not in ONLY_SFTS}
    return DPOConfig(output_dir=folder, precompute_ref_log_probs=task["reference"] == "precomputed", **words)


def empty_reference(orders: Mapping[str, Any], config: PretrainedConfig) -> nn.Module | None:
    """A frozen copy without weights, on the meta device; None where no model is the reference."""
    words = _copied(orders)
    return None if words is None else as_reference(empty_model(words, deepcopy(config)))


def random_reference(orders: Mapping[str, Any]) -> nn.Module | None:
    """The same, to measure beside."""
    from .random_weights import random_model

    words = _copied(orders)
    return None if words is None else as_reference(random_model(words, orders["device"]))


def _copied(orders: Mapping[str, Any]) -> dict[str, Any] | None:
    """What is said of the model, for its frozen copy."""
    task = task_of(orders)
    if task.get("reference") != "model":
        return None
    return {**orders["model"], "quantization": task["quantization"], "prepare": False}


def as_reference(model: nn.Module) -> nn.Module:
    """As `from_pretrained` leaves it: never trained."""
    return keep_trainable_layout(model).eval()
