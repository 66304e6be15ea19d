"""Rows that share a sequence: packed by TRL's best-fit-decreasing, and flattened by its collator (`padding_free`).

TRL packs while it tokenises, and cuts what is longer than a sequence without a word. Here rows are tokenised first, as
they are without packing; those that are too long are refused; then TRL's own `pack_dataset` is called. Held-out rows
are flattened, and not packed: their loss is the same.

Knows: that a micro-batch of one document alone has no mask (transformers, masking_utils.find_packed_sequence_indices).
Does not know: which of such a one and a shorter one of several documents takes more, so both are rehearsed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from datasets import Dataset
from trl.data_utils import pack_dataset

DOCUMENTS = "seq_lengths"
"""TRL's column: the tokens of each row in a sequence, in their order."""


def is_flattened(orders: Mapping[str, Any]) -> bool:
    return bool(orders["trainer"].get("padding_free"))


def packed(rows: Dataset, max_length: int | None) -> Dataset:
    """`max_length`: of a sequence; None: of the longest row."""
    length = max_length or max(lengths_of(rows))
    return pack_dataset(rows.select_columns(["input_ids", "labels"]), length, "bfd")


def lengths_of(rows: Any) -> list[int]:
    """Tokens of each row, or of each sequence that rows share."""
    return [len(ids) for ids in rows["input_ids"]]


def documents_of(length: int, count: int) -> list[int]:
    """A sequence of so many documents, about equally long."""
    return [length // count] * (count - 1) + [length - length // count * (count - 1)]


def fullness(rows: Any, micro_batch: int, is_flat: bool) -> list[int]:
    """By which rows are in order: their tokens, and of as many, what has more documents. Sequences that make a
    micro-batch by themselves come behind all that have a mask where they have none."""
    tokens = lengths_of(rows)
    if not is_flat or DOCUMENTS not in rows.column_names:
        return tokens
    documents = [len(lengths) for lengths in rows[DOCUMENTS]]
    behind = max(tokens) + 1 if micro_batch == 1 else 0
    return [
        (length - (behind if count == 1 else 0)) * (sum(documents) + 1) + count
        for length, count in zip(tokens, documents, strict=True)
    ]


def longest_alone(rows: Any, batch: Sequence[int], micro_batch: int) -> list[int]:
    """The longest sequence of one document, where it is longer than a micro-batch of one sequence of several."""
    if micro_batch > 1:
        return []
    tokens = lengths_of(rows)
    alone = [row for row, documents in enumerate(rows[DOCUMENTS]) if len(documents) == 1]
    longest = max(alone, key=tokens.__getitem__, default=batch[0])
    return [longest] if tokens[longest] > tokens[batch[0]] else []


def joined(rows: Sequence[Mapping[str, list[int]]]) -> dict[str, list[int]]:
    """A micro-batch as the one sequence that the collator makes of it."""
    return {name: [value for row in rows for value in row[name]] for name in rows[0]}
