"""How many optimizer steps a run takes, and which of them are meant."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping


def optimizer_steps(arguments: Mapping[str, float], rows: int, ranks: int = 1) -> int:
    """As `Trainer.set_initial_training_values` counts them (transformers 5.23); `arguments` are the trainer's."""
    if arguments["max_steps"] > 0:
        return int(arguments["max_steps"])
    micro_batches = math.ceil(rows / (arguments["per_device_train_batch_size"] * ranks))
    per_epoch = math.ceil(micro_batches / arguments["gradient_accumulation_steps"])
    return math.ceil(arguments["num_train_epochs"] * per_epoch)


RANGE = re.compile(r"(\d{1,9})(-(\d{1,9}))?", re.ASCII)


def step_range(text: str) -> tuple[int, int] | None:
    """`3-5` or `3`: the first step and the last; the first of a run is 1. None where it is no range."""
    found = RANGE.fullmatch(text)
    if found is None:
        return None
    first, last = int(found[1]), int(found[3] or found[1])
    return (first, last) if 1 <= first <= last else None
