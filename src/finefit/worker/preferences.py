"""TRL's trainer of preferences (DPO), with the stage told of every phase, and the reference that it compares with.

A row is a prompt and two answers; both go through the model in one forward pass, the chosen ones first. Then, without
gradients, the reference says of the same sequences how likely they are: the model itself with its adapters off, a
frozen copy of it, or the rows, where it was asked before training. TRL (1.16) builds logits of neither: its fused head.

Where rows are to say it, TRL asks the reference as the trainer is made, and keeps the answers in a file of datasets'
cache, which it finds again by a hash of all weights. Here they are asked in the same way, the longest pairs first, and
kept in memory: there is no file, and no weight is hashed.

Knows: rows as token ids. Does not know: images; and, in a rehearsal, the forward passes before training in which a
precomputed reference is asked, which take less than a step does.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any
from unittest.mock import patch

import torch
from datasets import Dataset
from torch import nn
from transformers import PretrainedConfig
from trl import DPOConfig, DPOTrainer
from trl.trainer import dpo_trainer

from . import pairs
from .bends.cpu_packing import keep_trainable_layout
from .bends.made_adapter import made_adapter
from .bends.some_checkpointed import some_checkpointed
from .build import empty_model, load_model
from .evaluated import Evaluated, HeldOut
from .rewards import rewards_of
from .told import LogProbs

ONLY_SFTS = ("dataset_kwargs", "assistant_only_loss")
"""SFTConfig's arguments that DPOConfig lacks, of those that orders have."""
SFT = {"name": "sft"}


class PreferenceTrainer(Evaluated, DPOTrainer):
    """`ref_model`: a frozen copy; None: adapters off, or precomputed (`args` say which)."""

    def __init__(self, *, model: Any, **kwargs: Any) -> None:
        unhashed = patch.object(dpo_trainer, "hash_module", lambda _: "")
        with made_adapter(model) as made, unhashed:  # of no use, and nothing that a fake tensor has
            super().__init__(**made, **kwargs)

    def compute_loss(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        with some_checkpointed():
            loss = super().compute_loss(*args, **kwargs)
        if self.model.training:
            self.stage.phase("backward")
        return loss

    def held_out_rows(self) -> HeldOut:
        """The loss of all pairs, and their rewards: the means of TRL's over every micro-batch, by its pairs."""
        found = self.over_held_out(self._judged)
        self._metrics["eval"].clear()
        pairs = sum(count for count, _, _ in found)
        rewards = {
            name: sum(count * told[name] for count, _, told in found) / pairs for name in (found[0][2] if found else ())
        }
        return HeldOut(sum(count * loss for count, loss, _ in found), pairs, "pairs", rewards)

    def _judged(self, batch: dict[str, Any]) -> tuple[int, float, dict[str, float]]:
        loss = self.compute_loss(self.model, batch)
        return (
            len(batch["input_ids"]) // 2,
            loss.item(),
            rewards_of({k: v[-1] for k, v in self._metrics["eval"].items()}),
        )

    def _prepare_dataset(self, dataset: Any, *args: Any) -> Any:
        return dataset if pairs.are_pairs(dataset) else super()._prepare_dataset(dataset, *args)

    def _precompute_ref_logps(self, dataset: Any, _name: str, batch_size: int) -> Any:
        if pairs.KNOWN[0] in dataset.column_names:
            return dataset
        return with_log_probs(dataset, self.asked(dataset, batch_size))

    def asked(self, dataset: Any, batch_size: int) -> LogProbs:
        """The reference, of all pairs: the longest first, those of like length together."""
        lengths = pairs.lengths_of(dataset)
        found: dict[int, tuple[float, float]] = {}
        order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
        model = self.ref_model or self.model
        model.eval()
        for start in range(0, len(order), batch_size):
            self.check()
            numbers = order[start : start + batch_size]
            batch = self._prepare_inputs(self.data_collator([dataset[number] for number in numbers]))
            both = (told.tolist() for told in self.compute_ref_log_probs(model, batch))
            found |= dict(zip(numbers, zip(*both, strict=True), strict=True))
        return [found[number] for number in range(len(lengths))]


def with_log_probs(dataset: Dataset, told: LogProbs) -> Dataset:
    """In TRL's columns."""
    for name, values in zip(pairs.KNOWN, zip(*told, strict=True), strict=True):
        dataset = dataset.add_column(name, list(values))
    return dataset


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


def load_reference(orders: Mapping[str, Any]) -> nn.Module | None:
    """The same with its weights, from the model's folder."""
    words = _copied(orders)
    return None if words is None else as_reference(load_model(words))


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
