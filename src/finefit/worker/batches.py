"""The micro-batch at which a run is fullest, taken from the rows as the trainer tokenised them."""

from __future__ import annotations

import statistics
from typing import Any


class RowsTooLong(Exception):
    """Some rows have more tokens than the job's `max_length`; rows are never cut."""

    def __init__(self, lines: list[tuple[int, int]], max_length: int) -> None:
        super().__init__(f"{len(lines)} rows are longer than {max_length} tokens")
        self.lines = lines
        # (line of the data file, tokens)


def refuse_long_rows(trainer: Any, max_length: int | None) -> None:
    lengths = [len(ids) for ids in trainer.train_dataset["input_ids"]]
    lines = [(line, tokens) for line, tokens in enumerate(lengths, 1) if max_length and tokens > max_length]
    if max_length and lines:
        raise RowsTooLong(lines, max_length)


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
