"""TRL's SFT trainer, with the stage told of every phase, the longest rows tried first, and an evaluation that builds no
logits.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import Trainer as HuggingFaceTrainer
from transformers.integrations.liger import apply_liger_kernel
from trl import SFTTrainer

from .evaluated import Evaluated, HeldOut


class Trainer(Evaluated, SFTTrainer):
    """`loss` is `fused` (TRL's head, no logits are built), `liger` (Liger's head, likewise) or `full` (whole logits, as
    transformers computes them).

    `hold_outputs` keeps the model's output, and so the logits, alive to the end of the `step`, or until the `next` one
    replaces it, as hand-written loops do that name it. Published measurements were made so; a run never is (`no`).
    """

    def __init__(self, *args: Any, loss: str = "fused", hold_outputs: str = "no", **kwargs: Any) -> None:
        self.loss = loss
        self.hold_outputs = hold_outputs
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

    def held_out_rows(self) -> HeldOut:
        """The loss of all trained tokens.

        TRL's fused head, whatever the training's loss is: nobody asks for the logits, so none are built or gathered.
        """
        found = self.over_held_out(self._loss_of)
        return HeldOut(sum(total for total, _ in found), sum(tokens for _, tokens in found), "tokens")

    def _loss_of(self, batch: dict[str, Any]) -> tuple[float, int]:
        outputs = self.model(**batch, use_cache=False, fused_lm_head=True)
        return -outputs.log_probs.sum(dtype=torch.float64).item(), int(outputs.label_mask.sum())

    def end_step(self) -> None:
        if self.hold_outputs == "step":
            self._outputs = None
