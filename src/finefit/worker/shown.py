"""A file's rows that show images: as long as these make them, and the micro-batches of them that may be the fullest.

A chat template writes one placeholder for each image; a processor writes as many as the image has pieces. Here the
orders say what becomes of each size (`finefit.lower.images`), and each placeholder grows by that.

Knows: which sizes each row shows, in their order. Does not know: pictures (`pictures.py`); in which order rows meet.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from finefit.errors import BadInput, Problem
from finefit.nouns import fullest as among

from .batches import Row, facts
from .images import TEXT, UNTRAINED
from .rows import Which


def shows(orders: Mapping[str, Any]) -> bool:
    """Whether rows say themselves what they show."""
    return "sizes" in (orders["rehearsal"].get("images") or {})


def with_places(rows: Sequence[Row], orders: Mapping[str, Any]) -> list[Row]:
    """Rows that no tokenizer made: a placeholder for each image, every other token from the second on."""
    made = []
    for row, numbers in zip(rows, orders["data"]["shown"]["train"], strict=True):
        ids = list(row["input_ids"])
        assert len(ids) > 2 * len(numbers), "a row is counted with its images"
        for place in range(len(numbers)):
            ids[2 * place + 1] = orders["rehearsal"]["images"]["token"]
        made.append(row | {"input_ids": ids})
    return made


@dataclass(frozen=True)
class ShownRows:
    rows: Any
    # tokenised, with a placeholder for each image
    shown: Sequence[Sequence[int]]
    # of each row, the numbers of its images' sizes
    token: int
    sizes: Sequence[Mapping[str, Any]]
    # of each: runs, around, tensors

    @classmethod
    def of(cls, images: Mapping[str, Any], data: Mapping[str, Any], rows: Any, which: Which = "train") -> ShownRows:
        """`images`: what becomes of each size; `data`: of the orders. Raises `BadInput` where a chat template has no
        place for an image."""
        lines, shown = data["lines"][which], data["shown"][which]
        problems = [
            Problem(
                f"the model's chat template writes {places} places for {len(numbers)} images", f"{data[which]}:{line}"
            )
            for line, numbers, ids in zip(lines, shown, rows["input_ids"], strict=True)
            if (places := ids.count(images["token"])) != len(numbers)
        ]
        if problems:
            raise BadInput(*problems[:SHOWN])
        return cls(rows, shown, images["token"], images["sizes"])

    @cached_property
    def lengths(self) -> list[int]:
        return [
            len(ids) + sum(self._grown[number] for number in numbers)
            for ids, numbers in zip(self.rows["input_ids"], self.shown, strict=True)
        ]

    @cached_property
    def _grown(self) -> list[int]:
        """Tokens that each size adds to its placeholder."""
        return [sum(size["runs"]) + size["around"] - 1 for size in self.sizes]

    @property
    def most_shown(self) -> int:
        """The row to which images add most."""
        return max(range(len(self.shown)), key=lambda row: sum(self._grown[number] for number in self.shown[row]))

    @property
    def trained(self) -> Iterator[int]:
        """Of each row, its tokens that are."""
        for ids, labels, numbers in zip(self.rows["input_ids"], self.rows["labels"], self.shown, strict=True):
            trained = len(labels) - labels.count(UNTRAINED)
            if numbers:
                places = (label for token, label in zip(ids, labels, strict=True) if token == self.token)
                grown = zip(numbers, places, strict=True)
                trained += sum(self._grown[number] for number, label in grown if label != UNTRAINED)
            yield trained

    def facts(self) -> dict[str, Any]:
        return facts(self.lengths, sum(self.trained))

    def fullest(self, size: int) -> tuple[list[among.Batch], int]:
        """The micro-batches to rehearse, and how many others may be the fullest too."""
        rows = [self._measured(length, numbers) for length, numbers in zip(self.lengths, self.shown, strict=True)]
        found = among.fullest(rows, size)
        kept = among.spread(rows, found)
        return kept, len(found) - len(kept)

    def told(self, batches: Sequence[among.Batch]) -> list[dict[str, Any]]:
        """Of each, its rows, and the length to which they are padded."""
        return [{"rows": batch, "length": max(self.lengths[row] for row in batch)} for batch in batches]

    def longest(self, count: int) -> list[int]:
        """So many rows, as a run evaluates them."""
        return longest_first(self.lengths)[:count]

    def _measured(self, length: int, numbers: Sequence[int]) -> among.Row:
        pixels = [math.prod(self.sizes[number]["tensors"]["pixel_values"]["shape"]) for number in numbers]
        return among.Row(length, sum(pixels), sum(pixel**2 for pixel in pixels))

    def row(self, number: int) -> Row:
        """With all that its images become."""
        told, shown = self.rows[number], iter(self.shown[number])
        ids: list[int] = []
        labels: list[int] = []
        for token, label in zip(told["input_ids"], told["labels"], strict=True):
            pieces = list(self._pieces(next(shown))) if token == self.token else [token]
            ids += pieces
            labels += [UNTRAINED] * len(pieces) if label == UNTRAINED else pieces
        return {"input_ids": ids, "labels": labels, "shows": list(self.shown[number])}

    def _pieces(self, number: int) -> Iterator[int]:
        """Text before each run; what the processor writes in other places stands before the first one."""
        runs, around = self.sizes[number]["runs"], self.sizes[number]["around"]
        between = len(runs) - 1
        for place, run in enumerate(runs):
            yield from [TEXT] * (1 if place else around - between)
            yield from [self.token] * run


def longest_first(lengths: Sequence[int]) -> list[int]:
    return sorted(range(len(lengths)), key=lambda row: -lengths[row])


SHOWN = 10
"""Rows without a place for their images that are named."""
