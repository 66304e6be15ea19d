"""Rows with their pictures, made into batches by TRL's own vision collator and the model's own processor.

Pictures are read when their batch comes (`picture.py`). Rows are never cut: what a batch has is held against what was
planned.

Knows: files that `finefit.world.rows` has checked. Does not know: whether pixels can be read before they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

from finefit.errors import RunFailed
from finefit.nouns.formats.image_refs import Unreadable
from finefit.nouns.formats.images import refs_of
from finefit.tables import place

from . import picture
from .images import UNTRAINED
from .rows import Which, in_parts, placed_rows

NUMBER, TOKENS = "number", "tokens"
"""The columns of a dataset of such rows: which one of `Pictured`, and how long it was planned to be. A blank row shows
what another does, and trains nothing: its number is that one's complement."""


@dataclass(frozen=True)
class Pictured:
    """One row, as TRL's collator takes it once its pictures are there."""

    where: str
    messages: list[dict[str, Any]]
    refs: list[Any]
    folder: Path

    def example(self) -> dict[str, Any]:
        return {"messages": self.messages, "images": [self._picture(ref) for ref in self.refs]}

    def _picture(self, ref: Any) -> Any:
        try:
            return picture.read(ref, self.folder)
        except Unreadable as error:
            raise RunFailed(f"{self.where}: {error}") from None


def pictured(data: Mapping[str, Any], which: Which) -> list[Pictured]:
    folder = Path(data[which]).absolute().parent
    return [
        Pictured(place(data[which], placed.number), list(_parts(placed.row)), refs_of(placed.row), folder)
        for placed in placed_rows(data, which)
    ]


def _parts(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Without the nulls that Arrow needs: templates ask which keys a part has."""
    return [
        message | {"content": [{key: value for key, value in part.items() if value is not None} for part in content]}
        for message in in_parts(row)
        if (content := message["content"])
    ]


def dataset_of_pictured(first: int, lengths: Sequence[int]) -> Dataset:
    return Dataset.from_dict({NUMBER: list(range(first, first + len(lengths))), TOKENS: list(lengths)})


class PictureCollator:
    """A micro-batch of rows of such a dataset. `say`: is told once where the processor does not as was planned."""

    def __init__(
        self,
        collator: DataCollatorForVisionLanguageModeling,
        rows: Sequence[Pictured],
        max_length: int | None,
        say: Callable[[str], None],
    ) -> None:
        self._collator = collator
        self._rows = rows
        self._max_length = max_length
        self._say = say
        self._has_said = False

    def __call__(self, rows: Sequence[Mapping[str, int]]) -> dict[str, torch.Tensor]:
        shown = [self._rows[max(row[NUMBER], ~row[NUMBER])] for row in rows]
        batch = dict(self._collator([each.example() for each in shown]))
        for each, row, tokens in zip(shown, rows, batch["attention_mask"].sum(1).tolist(), strict=True):
            if tokens != row[TOKENS]:
                self._otherwise(each.where, tokens, row[TOKENS])
        batch["labels"][[row[NUMBER] < 0 for row in rows]] = UNTRAINED
        return batch

    def _otherwise(self, where: str, tokens: int, planned: int) -> None:
        if self._max_length and tokens > self._max_length:
            raise RunFailed(f"{where}: the row has {tokens} tokens, more than max_length {self._max_length}")
        if not self._has_said:
            self._has_said = True
            what = f"{where}: the model's processor makes {tokens} tokens of the row, and {planned} were planned"
            self._say(f"{what}: memory may be otherwise than planned")
