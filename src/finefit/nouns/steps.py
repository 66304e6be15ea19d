"""How many optimizer steps a run takes."""

from __future__ import annotations

import math
from collections.abc import Mapping


def optimizer_steps(arguments: Mapping[str, float], rows: int, ranks: int = 1) -> int:
    """As `Trainer.set_initial_training_values` counts them (transformers 5.23); `arguments` are the trainer's."""
    if arguments["max_steps"] > 0:
        return int(arguments["max_steps"])
    micro_batches = math.ceil(rows / (arguments["per_device_train_batch_size"] * ranks))
    per_epoch = math.ceil(micro_batches / arguments["gradient_accumulation_steps"])
    return math.ceil(arguments["num_train_epochs"] * per_epoch)
