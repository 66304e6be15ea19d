"""The batches at which a run is fullest, taken from the rows as the trainer tokenised them."""

from __future__ import annotations

import statistics
from typing import Any

from finefit.errors import BadInput, Problem

ROWS_SHOWN = 10


def refuse_long_rows(trainer: Any, max_length: int | None, path: str) -> None:
    """Rows are never cut: those with more tokens than `max_length` are bad input, the first of them by line."""
    lengths = [len(ids) for ids in trainer.train_dataset["input_ids"]]
    long = [(line, tokens) for line, tokens in enumerate(lengths, 1) if max_length and tokens > max_length]
    if not long:
        return
    shown = [
        Problem(f"the row has {tokens} tokens, more than max_length {max_length}", where=f"{path}:{line}")
        for line, tokens in long[:ROWS_SHOWN]
    ]
    hint = f"raise max_length to {max(lengths)}, or leave it out: then the longest row decides"
    raise BadInput(*shown, Problem(f"{len(long)} rows are too long", where=path, hint=hint))


def keep_fullest_batch(trainer: Any, steps: int) -> dict[str, Any]:
    """Leaves the trainer only the micro-batch with the longest row, enough times for `steps` optimizer steps.

    Returns what the tokeniser made of the data: counts of rows and tokens, and the line of the longest row.
    """
    rows = trainer.train_dataset
    lengths = [len(ids) for ids in rows["input_ids"]]
    longest = max(range(len(lengths)), key=lengths.__getitem__)
    size, accumulation = trainer.args.per_device_train_batch_size, trainer.args.gradient_accumulation_steps
    order = list(trainer._get_train_sampler())
    start = order.index(longest) // size * size
    batch = order[start : start + size]
    trainer.train_dataset = rows.select(batch * (accumulation * steps))
    return {
        "rows": len(lengths),
        "shortest_tokens": min(lengths),
        "median_tokens": int(statistics.median(lengths)),
        "longest_tokens": lengths[longest],
        "total_tokens": sum(lengths),
        "trained_tokens": sum(label != -100 for labels in rows["labels"] for label in labels),
        "longest_line": longest + 1,
    }


def keep_longest_held_out(trainer: Any) -> None:
    """Leaves the trainer only the first batch that it evaluates, which is the fullest one."""
    rows = trainer.eval_dataset
    if rows is not None:
        trainer.eval_dataset = rows.select(list(trainer._get_eval_sampler(rows))[: trainer.args.eval_batch_size])
