"""What our trainers on rows and on preferences have in common: the longest rows tried first, and held-out rows measured
however they are batched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils.data import Sampler, SequentialSampler

from .batches import fullness_of, lengths_of
from .longest_first import LongestFirst
from .staged import Staged

Found = TypeVar("Found")


@dataclass(frozen=True)
class HeldOut:
    """What held-out rows say of a model."""

    total: float
    # of the losses
    count: int
    counted: str
    # tokens, or pairs
    rewards: Mapping[str, float] = field(default_factory=dict)
    # of preferences: means of all pairs, in TRL's names

    @property
    def loss(self) -> float:
        return self.total / max(self.count, 1)

    def told(self) -> dict[str, Any]:
        """As an `eval` event has it."""
        rewards = {"rewards": dict(self.rewards)} if self.rewards else {}
        return {"loss": self.loss, self.counted: self.count, **rewards}


class Evaluated(Staged):
    """Comes before the trainer that it adds to, which measures `held_out_rows`.

    `in_order`: rows come as they stand, and not the longest first.
    """

    padding_free: bool

    def __init__(self, *args: Any, in_order: bool = False, **kwargs: Any) -> None:
        self.in_order = in_order
        super().__init__(*args, **kwargs)

    def check(self) -> None:
        """Between two batches that nothing is trained on: may end it."""

    def held_out_rows(self) -> HeldOut:
        raise NotImplementedError

    def evaluate(self, *_args: Any, **_kwargs: Any) -> dict[str, float]:
        """Called by `train()` every `eval_steps`."""
        return {"eval_loss": self.held_out_rows().loss}

    def over_held_out(self, measure: Callable[[dict[str, Any]], Found]) -> list[Found]:
        """Of every batch; nothing of it is kept for backward."""
        self.model.eval()
        with self.stage.evaluating(), torch.no_grad(), self.accelerator.autocast():
            return [measure(self._next(batch)) for batch in _loaded(self.get_eval_dataloader())]

    def _next(self, batch: dict[str, Any]) -> dict[str, Any]:
        self.check()
        return self.stage.held_out(self._prepare_inputs(batch))

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        rows = self.train_dataset if train_dataset is None else train_dataset
        return SequentialSampler(rows) if self.in_order else self.longest_first(rows)

    def longest_first(self, rows: Any, ranks: int = 1) -> LongestFirst:
        """Their order, where so many ranks take turns."""
        size = self.args.per_device_train_batch_size
        return LongestFirst(
            fullness_of(rows, size, self.padding_free),
            size,
            self.args.gradient_accumulation_steps * ranks,
            self.args.seed,
            size if self.padding_free else 1,
        )

    def _get_eval_sampler(self, eval_dataset: Any) -> list[int]:
        """Longest first: rows of like length share a batch, and the fullest batch comes at once."""
        lengths = lengths_of(eval_dataset)
        return sorted(range(len(lengths)), key=lambda row: -lengths[row])


def _loaded(batches: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Loaded for real, also in a rehearsal."""
    with _disable_current_modes():
        loader = iter(batches)
        batch = next(loader, None)
    while batch is not None:
        yield batch
        with _disable_current_modes():
            batch = next(loader, None)
