"""Rows with images where there are none: placeholder tokens in every row, and the tensors that a processor makes.

Knows: what TRL's vision collator hands over (`DataCollatorForVisionLanguageModeling`, TRL 1.16): the placeholders are
trained like all tokens. Which tensors an image becomes, and how many placeholders, the orders say
(`finefit.catalog.images`). Does not know: real pictures; memory does not depend on what they show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

TEXT = 1
"""A token that stands for text."""


def with_placeholders(row: dict[str, Any], images: dict[str, Any]) -> dict[str, Any]:
    """The same length; runs of placeholders from the second token on, a token of text between two."""
    ids: list[int] = []
    for run in images["runs"]:
        ids += [TEXT] + [images["token"]] * run
    assert len(ids) <= len(row["input_ids"]), "the planner leaves room for the images"
    ids += row["input_ids"][len(ids) :]
    return {"input_ids": ids, "labels": ids}


def collator_of(orders: Mapping[str, Any]) -> ImageCollator | None:
    """None: the trainer's own, for text."""
    images = orders["rehearsal"].get("images")
    return ImageCollator(images) if images else None


class ImageCollator:
    """A micro-batch of such rows, as the trainer's collator would make it."""

    def __init__(self, images: dict[str, Any]) -> None:
        self._images = images

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        ids = torch.tensor([row["input_ids"] for row in rows])
        batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        if self._images["types"]:
            batch["mm_token_type_ids"] = (ids == self._images["token"]).long()
        made = {name: _made(told, len(rows)) for name, told in self._images["tensors"].items()}
        return batch | made | {"labels": torch.tensor([row["labels"] for row in rows])}


def _made(told: dict[str, Any], rows: int) -> torch.Tensor:
    """Of all rows together, one after another; ones where no values are told."""
    dtype = getattr(torch, told["dtype"])
    if told["values"] is not None:
        return torch.tensor(told["values"] * rows, dtype=dtype)
    first, *rest = told["shape"]
    return torch.ones(first * rows, *rest, dtype=dtype)
