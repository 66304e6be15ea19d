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

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
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
from .bends.unchanged_by_reference import unchanged_by_reference
from .build import empty_model, load_model
from .evaluated import Evaluated, HeldOut
from .rewards import rewards_of
from .told import LogProbs

ONLY_SFTS = ("dataset_kwargs", "assistant_only_loss")
"""SFTConfig's arguments that DPOConfig lacks, of those that orders have."""
SFT = {"name": "sft"}


@dataclass(frozen=True)
class Judged:
    """What the model says of a micro-batch of held-out pairs."""

    pairs: int
    everyone: int
    # pairs of which the rewards are: those of all ranks, where there are several
    total: float
    # of the losses
    rewards: Mapping[str, float]


class PreferenceTrainer(Evaluated, DPOTrainer):
    """`ref_model`: a frozen copy; None: adapters off, or precomputed (`args` say which)."""

    def __init__(self, *, model: Any, **kwargs: Any) -> None:
        unhashed = patch.object(dpo_trainer, "hash_module", lambda _: "")
        with made_adapter(model) as made, unhashed:  # of no use, and nothing that a fake tensor has
            super().__init__(**made, **kwargs)

    def compute_loss(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        with unchanged_by_reference():
            loss = super().compute_loss(*args, **kwargs)
        if self.model.training:
            self.stage.phase("backward")
        return loss

    def held_out_rows(self) -> HeldOut:
        """The loss of all pairs, and their rewards: the means of TRL's over every micro-batch, by its pairs."""
        found = self.over_held_out(self.judged)
        self._metrics["eval"].clear()
        everyone = sum(each.everyone for each in found)
        rewards = {
            name: sum(each.everyone * each.rewards[name] for each in found) / max(everyone, 1)
            for name in (found[0].rewards if found else ())
        }
        return HeldOut(sum(each.total for each in found), sum(each.pairs for each in found), "pairs", rewards)

    def judged(self, batch: dict[str, Any]) -> Judged:
        """A micro-batch of held-out pairs."""
        loss, count = self.compute_loss(self.model, batch), len(batch["input_ids"]) // 2
        rewards = rewards_of({name: values[-1] for name, values in self._metrics["eval"].items()})
        return Judged(count, count, loss.item() * count, rewards)

    def _prepare_dataset(self, dataset: Any, *args: Any) -> Any:
        return dataset if pairs.are_pairs(dataset) else super()._prepare_dataset(dataset, *args)

    def _precompute_ref_logps(self, dataset: Any, _name: str, batch_size: int) -> Any:
        if pairs.KNOWN[0] in dataset.column_names:
            return dataset
        return with_log_probs(dataset, self.asked(dataset, batch_size))

    def asked(self, dataset: Any, batch_size: int) -> LogProbs:
        """The reference, of all pairs: the longest first, those of like length together."""
        lengths = pairs.lengths_of(dataset)
        order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
        model = self.ref_model or self.model
        model.eval()
        found: dict[int, tuple[float, float]] = {}
        for numbers in self.mine([order[start : start + batch_size] for start in range(0, len(order), batch_size)]):
            self.check()
            found |= self._asked_of(model, dataset, numbers)
        found = self.together(found)
        return [found[number] for number in range(len(lengths))]

    def _asked_of(self, model: Any, dataset: Any, numbers: Sequence[int]) -> dict[int, tuple[float, float]]:
        if not numbers:
            return {}
        batch = self._prepare_inputs(self.data_collator([dataset[number] for number in numbers]))
        both = (told.tolist() for told in self.compute_ref_log_probs(model, batch))
        return dict(zip(numbers, zip(*both, strict=True), strict=True))

    def mine(self, batches: list[list[int]]) -> list[list[int]]:
        """Of all that the reference is asked about, what this process asks."""
        return batches

    def together(self, told: dict[int, tuple[float, float]]) -> dict[int, tuple[float, float]]:
        """What all processes were told."""
        return told


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
