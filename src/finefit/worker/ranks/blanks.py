"""Rows that train nothing, so that every rank has as many micro-batches, each as large.

accelerate fills the last ones with rows from the beginning, which are then trained on twice. A blank row has two tokens
and no label: its loss and its gradient are zero, and no row's weight changes, since tokens are counted over all ranks.
Where rows show images it shows those of the shortest row, for all ranks go through the tower together.
A blank pair is a prompt without answers, of which nothing is preferred: its loss is `NOTHING_PREFERRED` whatever the
weights are, its gradient and its rewards are zero.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
from datasets import Dataset, concatenate_datasets
from torch.utils.data import Sampler

from .. import pairs, pictures
from ..images import UNTRAINED

TOKENS = 2
NOTHING_PREFERRED = math.log(2)
"""-log σ(0)."""


def with_blanks(rows: Any, multiple: int) -> Any:
    """`rows`, and behind them as many blank ones as make a multiple."""
    count = -len(rows) % multiple
    if not count:
        return rows
    blank = {name: _blank(name, values) for name, values in rows[_like(rows)].items()}
    return concatenate_datasets([rows, Dataset.from_list([blank] * count, features=rows.features)])


def _like(rows: Any) -> int:
    """The row that blank ones are made of: of those that show images the shortest."""
    if pictures.TOKENS not in rows.column_names:
        return 0
    lengths = rows[pictures.TOKENS]
    return int(lengths.index(min(lengths)))


def _blank(name: str, values: Any) -> Any:
    if name == "labels":
        return [UNTRAINED] * TOKENS
    if name == pictures.NUMBER:
        return ~values
    if name == "seq_lengths":
        return [TOKENS]
    if name in (pairs.CHOSEN, pairs.REJECTED):
        return []
    if name in pairs.KNOWN:
        return 0.0
    return values[:TOKENS] if isinstance(values, list) else values


def tokens_of(batch: dict[str, torch.Tensor]) -> int:
    """Of blank rows in a micro-batch, padded or flattened; of blank pairs both sequences."""
    if pairs.ANSWERS in batch:
        return 2 * TOKENS * pairs_in(batch)
    ids, labels = batch["input_ids"], batch["labels"]
    if "attention_mask" in batch:
        lengths, trained = batch["attention_mask"].sum(dim=1), (labels != UNTRAINED).any(dim=1)
        is_short = lengths == TOKENS
        return int(lengths[~trained & (is_short | ("pixel_values" in batch))].sum())
    starts = [*(batch["position_ids"].flatten() == 0).nonzero().flatten().tolist(), ids.numel()]
    documents = pairwise(starts)
    flat = labels.flatten()
    return TOKENS * sum(
        end - start == TOKENS and bool((flat[start:end] == UNTRAINED).all()) for start, end in documents
    )


def pairs_in(batch: dict[str, torch.Tensor]) -> int:
    """Blank ones, of a micro-batch of pairs."""
    return int((~batch[pairs.ANSWERS].any(dim=1)).sum()) // 2


class BlanksLast(Sampler[int]):
    """Another sampler's order, and then so many rows that come after its own."""

    def __init__(self, inner: Any, blanks: int) -> None:
        self._inner = inner
        self._blanks = blanks

    def __len__(self) -> int:
        return len(self._inner) + self._blanks

    def set_epoch(self, epoch: int) -> None:
        self._inner.set_epoch(epoch)

    def __iter__(self) -> Iterator[int]:
        yield from self._inner
        yield from range(len(self._inner), len(self))
