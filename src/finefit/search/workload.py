"""What a job's rows take on the chosen recipe: padding, steps, hours, cost.

Rows are drawn as a trainer does, at random, and those of a micro-batch are padded to its longest. Time goes with the
tokens that are read, at the pace of micro-batches as long as the longest row: shorter ones attend to less, and are a
little faster.
"""

from __future__ import annotations

import math
import random

from finefit.nouns.job import Job
from finefit.nouns.knobs import Knobs
from finefit.nouns.offer import Offer
from finefit.nouns.pace import Pace
from finefit.nouns.workload import Lengths, Workload


def workload(job: Job, knobs: Knobs, pace: Pace, ranks: int, lengths: Lengths, offer: Offer | None) -> Workload:
    rows = len(lengths.tokens)
    per_epoch = math.ceil(rows / (knobs.per_device_train_batch_size * knobs.gradient_accumulation_steps * ranks))
    steps = job.max_steps if job.max_steps > 0 else math.ceil(job.num_train_epochs * per_epoch)
    epochs = steps / per_epoch
    read = padded(lengths.tokens, knobs.per_device_train_batch_size, job.seed) * epochs
    return Workload(
        rows=rows,
        epochs=epochs,
        steps=steps,
        tokens=int(sum(lengths.tokens) * epochs),
        padded_tokens=int(read),
        seconds=read / pace.tokens_per_second,
        low=read / pace.fastest,
        high=read / pace.slowest,
        longest_line=lengths.longest_line,
        offer=offer,
    )


def padded(tokens: tuple[int, ...], micro_batch: int, seed: int) -> int:
    """Tokens of all micro-batches of one epoch, padding too."""
    order = list(tokens)
    random.Random(seed).shuffle(order)
    batches = [order[start : start + micro_batch] for start in range(0, len(order), micro_batch)]
    return sum(max(batch) * len(batch) for batch in batches)
