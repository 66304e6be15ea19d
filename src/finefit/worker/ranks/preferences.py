"""The trainer of preferences on several ranks: every pair of a step weighs alike, on whichever rank it is.

Blank pairs weigh nothing, neither in the loss, nor in what is told of it: what they add to TRL's means is known, and
taken out. A precomputed reference is asked by all ranks, each a part.

Knows: TRL 1.16, whose means of rewards are of all ranks, and whose loss is of one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from ..preferences import Judged
from ..run_trainer import PreferenceRunTrainer
from ..told import LogProbs
from . import blanks
from .trainer import OfRanks

OF_PAIRS = ("rewards/", "logps/")
"""TRL's means over all pairs; its others are over the tokens of answers."""


class PreferenceRankTrainer(OfRanks, PreferenceRunTrainer):
    _weight = 1.0
    # of a step's pairs: all its places, over those that no blank pair fills

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
        batches, items = super().get_batch_samples(*args, **kwargs)
        places = sum(map(places_in, batches))
        filled = sum(self._filled(batch, "train") for batch in batches)
        self._weight = places * self.group.size / filled if filled else 1.0
        return batches, items

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        loss = super().compute_loss(model, inputs, *args, **kwargs)
        mode = "train" if self.model.training else "eval"
        if self.has_blanks[mode]:
            share = places_in(inputs) * self.group.size / self._filled(inputs, mode)
            for name, values in self._metrics[mode].items():
                if name.startswith(OF_PAIRS):  # all zero, for a blank one
                    values[-1] *= share
            loss = loss - blanks.NOTHING_PREFERRED * blanks.pairs_in(inputs) / places_in(inputs)
        return loss * self._weight if mode == "train" else loss

    def judged(self, batch: dict[str, Any]) -> Judged:
        pairs = places_in(batch) - blanks.pairs_in(batch)
        return replace(super().judged(batch), pairs=pairs, everyone=self._filled(batch, "eval"))

    def _filled(self, batch: dict[str, Any], mode: str) -> int:
        """Pairs that are not blank, of the micro-batches that all ranks have at once."""
        places = places_in(batch)
        if not self.has_blanks[mode]:
            return places * self.group.size
        return int(self.group.sum([places - blanks.pairs_in(batch)])[0])

    def asked(self, dataset: Any, batch_size: int) -> LogProbs:
        if self.is_deepspeed_enabled:
            self.model.to(self.args.device)  # where DeepSpeed puts it later
        return super().asked(dataset, batch_size)

    def mine(self, batches: list[list[int]]) -> list[list[int]]:
        """As many on every rank, of which the last may be empty: they look together whether to stop."""
        rounds, size = -(-len(batches) // self.group.size), self.group.size
        return [*batches, *[[]] * (rounds * size - len(batches))][self.group.rank :: size]

    def together(self, told: dict[int, tuple[float, float]]) -> dict[int, tuple[float, float]]:
        return {number: both for each in self.group.gathered(told) for number, both in each.items()}


def places_in(batch: dict[str, torch.Tensor]) -> int:
    """Of pairs."""
    return len(batch["input_ids"]) // 2
