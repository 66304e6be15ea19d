"""The batch at which a run is fullest, taken from the rows as the trainer tokenised them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from finefit.errors import BadInput, Problem

from . import packing, pairs
from .rows import Which, places_of

ROWS_SHOWN = 10
Row = dict[str, Any]
"""Of a tokenised data set: `input_ids`, `labels`, and of one that is packed TRL's `seq_lengths`; or those of a pair."""
READ = ("input_ids", "labels", packing.DOCUMENTS, *pairs.COLUMNS)
"""By the trainer's collator."""


def refuse_long_rows(trainer: Any, orders: Mapping[str, Any]) -> None:
    """Rows are never cut: those with more tokens than `max_length`, or than the model has positions, are bad input."""
    refuse_long(lengths_of(trainer.train_dataset), orders)
    if trainer.eval_dataset is not None and orders.get("positions"):
        refuse_long(lengths_of(trainer.eval_dataset), orders, "eval")


def refuse_long(lengths: Sequence[int], orders: Mapping[str, Any], which: Which = "train") -> None:
    """The first of them by line. Rows that are held out may be longer than `max_length`. Orders of an older run, which
    goes on, may not say the positions."""
    max_length, positions = orders["max_length"] if which == "train" else None, orders.get("positions")
    limit = max_length or positions
    if not limit or (longest := max(lengths)) <= limit:
        return
    what = f"more than max_length {limit}" if max_length else f"and the model has {limit} positions"
    hint = (
        f"raise max_length to {longest}, or leave it out: then the longest row decides"
        if max_length and not (positions and longest > positions)
        else "shorter rows: none is cut"
    )
    places = zip(places_of(orders["data"], which), lengths, strict=True)
    long = [(place, tokens) for place, tokens in places if tokens > limit]
    shown = [Problem(f"the row has {tokens} tokens, {what}", where=place) for place, tokens in long[:ROWS_SHOWN]]
    raise BadInput(*shown, Problem(f"{len(long)} rows are too long", where=orders["data"][which], hint=hint))


def fullest_batch(lengths: Sequence[int], order: list[int], size: int, is_flat: bool = False) -> list[int]:
    """The micro-batch with the longest row, or, where rows are flattened, with the most tokens; `order`: of the rows,
    as the run meets them."""
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    if is_flat:
        return max(batches, key=lambda batch: sum(lengths[row] for row in batch))
    return batches[order.index(lengths.index(max(lengths))) // size]


def keep_batch(trainer: Any, batch: list[int], steps: int) -> None:
    """Leaves the trainer only this micro-batch, enough times for `steps` optimizer steps."""
    repeated = trainer.args.gradient_accumulation_steps * steps
    trainer.train_dataset = trainer.train_dataset.select(batch * repeated)


def tokenised(rows: Any) -> list[Row]:
    """A few rows, of all that the trainer's collator reads."""
    return [] if rows is None else [{name: row[name] for name in READ if name in row} for row in rows]


def facts_of(rows: Any) -> dict[str, Any]:
    """What the tokeniser made of the data."""
    if pairs.are_pairs(rows):
        everything, answers = pairs.counts_of(rows)
        return facts(lengths_of(rows), answers) | {"total_tokens": everything}
    trained = sum(label != -100 for labels in rows["labels"] for label in labels)
    return facts(lengths_of(rows), trained)


def lengths_of(rows: Any) -> list[int]:
    """Tokens of each; of a pair those of its longer sequence."""
    return (pairs if pairs.are_pairs(rows) else packing).lengths_of(rows)


def ids_of(row: Mapping[str, Any]) -> list[int]:
    """Of a pair, the sequence that is preferred."""
    ids: list[int] = row["input_ids"] if "input_ids" in row else row[pairs.PROMPT] + row[pairs.CHOSEN]
    return ids


def longest_of(rows: Sequence[Row]) -> int:
    """Tokens of the longest sequence of a few rows."""
    return max(len(row["input_ids"]) if "input_ids" in row else pairs.length_of(row) for row in rows)


def fullness_of(rows: Any, micro_batch: int, is_flat: bool) -> list[int]:
    """By which rows are in order, the fullest first."""
    return pairs.fullness(rows, micro_batch) if pairs.are_pairs(rows) else packing.fullness(rows, micro_batch, is_flat)


def rival_of(rows: Any, batch: Sequence[int], micro_batch: int, is_flat: bool) -> list[int]:
    """A longer micro-batch without a mask, which may take more than the fullest of those that have one."""
    if pairs.are_pairs(rows):
        return pairs.longest_alike(rows, batch, micro_batch)
    return packing.longest_alone(rows, batch, micro_batch) if is_flat else []


def facts(lengths: Sequence[int], trained: int) -> dict[str, Any]:
    """Counts of rows and tokens, and the line of the longest row."""
    return {
        "rows": len(lengths),
        "shortest_tokens": min(lengths),
        "median_tokens": int(statistics.median(lengths)),
        "longest_tokens": max(lengths),
        "total_tokens": sum(lengths),
        "trained_tokens": trained,
        "longest_line": lengths.index(max(lengths)) + 1,
    }


def keep_longest_held_out(trainer: Any) -> None:
    """Leaves the trainer only the first batch that it evaluates, which is the fullest one."""
    rows = trainer.eval_dataset
    if rows is not None:
        trainer.eval_dataset = rows.select(list(trainer._get_eval_sampler(rows))[: trainer.args.eval_batch_size])
