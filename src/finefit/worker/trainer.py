"""TRL's SFT trainer, with the stage told of every phase, the longest rows tried first, and an evaluation that builds no
logits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils.data import Sampler, SequentialSampler
from transformers import Trainer as HuggingFaceTrainer
from transformers.integrations.liger import apply_liger_kernel
from trl import SFTTrainer

from .batches import lengths_of
from .packing import fullness
from .staged import Staged


class Trainer(Staged, SFTTrainer):
    """`loss` is `fused` (TRL's head, no logits are built), `liger` (Liger's head, likewise) or `full` (whole logits, as
    transformers computes them).

    `hold_outputs` keeps the model's output, and so the logits, alive to the end of the `step`, or until the `next` one
    replaces it, as hand-written loops do that name it. Published measurements were made so; a run never is (`no`).

    `in_order`: rows come as they stand, and not the longest first.
    """

    def __init__(
        self, *args: Any, loss: str = "fused", hold_outputs: str = "no", in_order: bool = False, **kwargs: Any
    ) -> None:
        self.loss = loss
        self.hold_outputs = hold_outputs
        self.in_order = in_order
        self._outputs: Any = None
        if loss == "liger":  # before SFTTrainer, which would leave this loss out: TRL's head wraps it
            apply_liger_kernel(kwargs["model"], {"fused_linear_cross_entropy": True})
        super().__init__(*args, **kwargs)

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if self.loss != "fused" and self.model.training:
            # Trainer's own loss, under SFTTrainer's: the model's forward computes it
            loss = self._forward_loss(model, inputs | {"use_cache": False}, kwargs.get("num_items_in_batch"))
        else:
            loss = super().compute_loss(model, inputs, *args, **kwargs)
        if self.model.training:
            self.stage.phase("backward")
        return loss

    def _forward_loss(self, model: Any, inputs: Any, items: Any) -> torch.Tensor:
        if self.hold_outputs == "no":
            return HuggingFaceTrainer.compute_loss(self, model, inputs, num_items_in_batch=items)
        loss, self._outputs = HuggingFaceTrainer.compute_loss(
            self, model, inputs, return_outputs=True, num_items_in_batch=items
        )
        return loss

    def evaluate(self, *_args: Any, **_kwargs: Any) -> dict[str, float]:
        """Called by `train()` every `eval_steps`."""
        total, tokens = self.held_out_loss()
        return {"eval_loss": total / max(tokens, 1)}

    def held_out_loss(self, check: Callable[[], None] = lambda: None) -> tuple[float, int]:
        """The loss of all trained tokens of the held-out rows, summed, and their number, however rows are batched.

        TRL's fused head, whatever the training's loss is: nobody asks for the logits, so none are built or gathered.
        `check` may end it between two batches.
        """
        total, tokens = 0.0, 0
        self.model.eval()
        with self.stage.evaluating(), torch.no_grad(), self.accelerator.autocast():
            for batch in _loaded(self.get_eval_dataloader()):
                check()
                loss, count = self._loss_of(self.stage.held_out(self._prepare_inputs(batch)))
                total, tokens = total + loss, tokens + count
        return total, tokens

    def _loss_of(self, batch: dict[str, Any]) -> tuple[float, int]:
        outputs = self.model(**batch, use_cache=False, fused_lm_head=True)
        return -outputs.log_probs.sum(dtype=torch.float64).item(), int(outputs.label_mask.sum())

    def end_step(self) -> None:
        if self.hold_outputs == "step":
            self._outputs = None

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        rows = self.train_dataset if train_dataset is None else train_dataset
        if self.in_order:
            return SequentialSampler(rows)
        size = self.args.per_device_train_batch_size
        return LongestFirst(
            fullness(rows, size, self.padding_free),
            size,
            self.args.gradient_accumulation_steps,
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


class LongestFirst(Sampler[int]):
    """A seeded random order, except that the longest row comes in the last micro-batch of the second step.

    There the optimizer's state and the gradients are present: it is the fullest moment of the whole run, and it comes
    in its first minute. The second-longest row comes in the same place of the first step. A run of one step has the
    longest row there. Of rows that are flattened, and not padded to the longest, these are as many (`together`) as a
    micro-batch has.
    """

    def __init__(self, lengths: list[int], micro_batch: int, accumulation: int, seed: int, together: int = 1) -> None:
        self.lengths = lengths
        self.per_step = micro_batch * accumulation
        self.last_micro_batch = micro_batch * (accumulation - 1)
        self.seed = seed
        self.together = together
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.lengths)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        order = torch.randperm(len(self.lengths), generator=generator).tolist()
        if self.epoch == 0:
            by_length = sorted(order, key=lambda row: -self.lengths[row])
            firsts = (self.per_step + self.last_micro_batch, self.last_micro_batch)
            whole = [first for first in firsts if first + self.together <= len(order)]
            places = [place for first in whole for place in range(first, first + self.together)]
            for place, row in zip(places, by_length, strict=False):
                other = order.index(row)
                order[place], order[other] = order[other], order[place]
        return iter(order)
