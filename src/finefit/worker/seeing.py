"""The trainer of a run on rows that show images: the rows that the plan found fullest together come together, at once.

Rows are tokenised once, by TRL as in the rehearsal, to know how long each is with all that its images become; what is
trained on is made by TRL's vision collator when its batch comes (`pictures.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

from .batches import refuse_long
from .longest_first import LongestFirst
from .pictures import TOKENS, PictureCollator, dataset_of_pictured, pictured
from .run_trainer import RunTrainer
from .saved import CHECKED_ROWS, CHECKED_TOKENS
from .shown import ShownRows, longest_first


class SeeingRunTrainer(RunTrainer):
    """`first`: the rows of the micro-batch that comes in the second step, in their order."""

    train_dataset: Any
    eval_dataset: Any

    def __init__(self, *, first: Sequence[int], **kwargs: Any) -> None:
        self.first = first
        super().__init__(**kwargs)

    def see(self, orders: dict[str, Any], processor: Any) -> None:
        """From here on rows have pictures. Raises `BadInput`."""
        lengths, rows = self._read(orders, self.train_dataset, "train")
        refuse_long(lengths, orders)
        self.train_dataset = dataset_of_pictured(0, lengths)
        if self.eval_dataset is not None:
            lengths, more = self._read(orders, self.eval_dataset, "eval")
            self.eval_dataset = dataset_of_pictured(len(rows), lengths)
            rows = [*rows, *more]
        collator = DataCollatorForVisionLanguageModeling(
            processor=processor,
            assistant_only_loss=self.args.assistant_only_loss,
            chat_template=self.chat_template or processor.tokenizer.chat_template,
        )
        self.data_collator = PictureCollator(collator, rows, orders["max_length"], self.events.note)

    def _read(self, orders: dict[str, Any], rows: Any, which: Any) -> tuple[list[int], list[Any]]:
        data = orders["data"]
        return ShownRows.of(orders["images"], data, rows, which).lengths, pictured(data, which)

    def longest_first(self, rows: Any, ranks: int = 1) -> LongestFirst:
        """Where `first` are longer than all."""
        size, accumulation = self.args.per_device_train_batch_size, self.args.gradient_accumulation_steps * ranks
        lengths = with_first(rows[TOKENS], self.first)
        return LongestFirst(lengths, size, accumulation, self.args.seed, len(self.first))

    def _get_eval_sampler(self, eval_dataset: Any) -> list[int]:
        return longest_first(eval_dataset[TOKENS])

    def to_check(self) -> dict[str, torch.Tensor]:
        """The first held-out rows, or the first rows where none are held out, with their pictures; of their ends alone
        logits are asked, for rows with images cannot be cut."""
        rows = self.eval_dataset if self.eval_dataset is not None else self.train_dataset
        batch = self.data_collator([rows[number] for number in range(min(CHECKED_ROWS, len(rows)))])
        length = batch["input_ids"].shape[1]
        kept = torch.arange(max(0, length - CHECKED_TOKENS), length)
        return {name: value for name, value in batch.items() if name != "labels"} | {"logits_to_keep": kept}


def with_first(lengths: Sequence[int], first: Sequence[int]) -> list[int]:
    """Of rows, where `first` are longer than all, each than the next."""
    longest, places = max(lengths), {row: len(first) - place for place, row in enumerate(first)}
    return [longest + places[row] if row in places else length for row, length in enumerate(lengths)]
