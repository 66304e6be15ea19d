"""Rows with images where there are no pictures: placeholder tokens, and the tensors that a processor makes.

Knows: what TRL's vision collator hands over (`DataCollatorForVisionLanguageModeling`, TRL 1.16): the placeholders are
trained like all tokens. Which tensors an image becomes, and how many placeholders, the orders say
(`finefit.catalog.images`). Does not know: real pictures; memory does not depend on what they show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

TEXT, PADDING = 1, 0
"""Tokens that stand for text, and for none."""
UNTRAINED = -100
"""A label that torch's loss leaves out."""


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
    """A micro-batch of such rows, as the trainer's collator would make it. Rows of a file say which sizes they show
    (`shows`); all others show the same."""

    def __init__(self, images: dict[str, Any]) -> None:
        self._images = images

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        ids = _padded([row["input_ids"] for row in rows], PADDING)
        batch = {"input_ids": ids, "attention_mask": _padded([[1] * len(row["input_ids"]) for row in rows], 0)}
        if self._images["types"]:
            batch["mm_token_type_ids"] = (ids == self._images["token"]).long()
        return batch | self._shown(rows) | {"labels": _padded([row["labels"] for row in rows], UNTRAINED)}

    def _shown(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        told = [self._told(row) for row in rows]
        names = dict.fromkeys(name for row in told for image in row for name in image)
        return {name: _joined([[image[name] for image in row] for row in told]) for name in names}

    def _told(self, row: dict[str, Any]) -> list[dict[str, Any]]:
        """Of each image, its tensors."""
        sizes = self._images.get("sizes")
        return [self._images["tensors"]] if sizes is None else [sizes[number]["tensors"] for number in row["shows"]]


def _padded(rows: Sequence[Sequence[int]], by: int) -> torch.Tensor:
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[by] * (longest - len(row))] for row in rows])


def _joined(rows: Sequence[Sequence[dict[str, Any]]]) -> torch.Tensor:
    """The images of each row, and the rows one after another. Where a row's images have a dimension of their own, rows
    with fewer are filled up with zeros; one without any, too."""
    along = next(image.get("along", 0) for row in rows for image in row)
    made = [torch.cat([_made(image) for image in row], along) for row in rows if row]
    if along == 0:
        return torch.cat(made)
    like, most = made[0], max(one.shape[along] for one in made)
    filled = iter(made)
    return torch.cat([_filled(next(filled) if row else like.narrow(along, 0, 0), along, most) for row in rows])


def _filled(images: torch.Tensor, along: int, most: int) -> torch.Tensor:
    shape = list(images.shape)
    shape[along] = most - shape[along]
    return torch.cat([images, images.new_zeros(shape)], along)


def _made(told: dict[str, Any]) -> torch.Tensor:
    """Ones where no values are told."""
    dtype = getattr(torch, told["dtype"])
    if told["values"] is not None:
        return torch.tensor(told["values"], dtype=dtype)
    return torch.ones(told["shape"], dtype=dtype)
