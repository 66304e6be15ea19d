"""What a job's rows take on the chosen recipe: padding, steps, hours, cost.

Rows are drawn as a trainer does, at random, and those of a micro-batch are padded to its longest. Time goes with the
tokens that are read, at the pace of micro-batches as long as the longest row: shorter ones attend to less, and are a
little faster; but none is faster than its kernels are started, and every step has its optimizer's. Rows that are packed
share sequences, which take the time of full ones.
"""

from __future__ import annotations

import math
import random
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from finefit.nouns.job import Job
from finefit.nouns.knobs import Knobs
from finefit.nouns.offer import Offer
from finefit.nouns.pace import Pace
from finefit.nouns.workload import Lengths, Packing, Workload

from .packing import packed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Sizes = NDArray[Any]

Timed = tuple[Knobs, Pace]


def workload(job: Job, knobs: Knobs, pace: Pace, ranks: int, lengths: Lengths, offer: Offer | None) -> Workload:
    tokens = lengths.tokens
    rows = len(packed(tokens, knobs.max_length)) if knobs.packing else len(tokens)
    per_epoch = math.ceil(rows / (knobs.per_device_train_batch_size * knobs.gradient_accumulation_steps * ranks))
    steps = job.max_steps if job.max_steps > 0 else math.ceil(job.num_train_epochs * per_epoch)
    epochs = steps / per_epoch
    read = epochs * (lengths.total if knobs.packing else padded(tokens, knobs.per_device_train_batch_size, job.seed))
    seconds = epochs * epoch_seconds(knobs, pace, ranks, tokens, job.seed)
    return Workload(
        rows=len(tokens),
        epochs=epochs,
        steps=steps,
        tokens=int(lengths.total * epochs),
        padded_tokens=int(read),
        seconds=seconds,
        low=seconds * pace.low / pace.step_seconds,
        high=seconds * pace.high / pace.step_seconds,
        longest_line=lengths.longest_line,
        offer=offer,
    )


def epoch_seconds(knobs: Knobs, pace: Pace, ranks: int, tokens: tuple[int, ...], seed: int) -> float:
    """Of all rows once: each micro-batch as much of a full one's time as it has tokens, or the start of its kernels."""
    if knobs.packing:
        sizes = _full(len(packed(tokens, knobs.max_length)), knobs)
    else:
        sizes = _sizes(tokens, knobs.per_device_train_batch_size, seed)
    steps = len(sizes) / (knobs.gradient_accumulation_steps * ranks)
    whole = pace.step_seconds - pace.optimizer_seconds
    parts = sizes / (knobs.per_device_train_batch_size * knobs.max_length)
    least = min(1.0, pace.launch_seconds / whole) if whole else 0.0
    micro_batches = float(parts.clip(min=least).sum())
    return micro_batches * whole / (knobs.gradient_accumulation_steps * ranks) + steps * pace.optimizer_seconds


def padded(tokens: tuple[int, ...], micro_batch: int, seed: int) -> int:
    """Tokens of all micro-batches of one epoch, padding too."""
    return int(_sizes(tokens, micro_batch, seed).sum())


@lru_cache(maxsize=16)
def _sizes(tokens: tuple[int, ...], micro_batch: int, seed: int) -> Sizes:
    """Tokens of each micro-batch, padding too."""
    import numpy

    order = list(tokens)
    random.Random(seed).shuffle(order)
    batches = (order[start : start + micro_batch] for start in range(0, len(order), micro_batch))
    return numpy.array([max(batch) * len(batch) for batch in batches])


def _full(sequences: int, knobs: Knobs) -> Sizes:
    import numpy

    each, rest = divmod(sequences, knobs.per_device_train_batch_size)
    counts = [knobs.per_device_train_batch_size] * each + [rest] * (rest > 0)
    return knobs.max_length * numpy.array(counts)


def packing_of(
    job: Job, apart: Timed | None, together: Timed | None, ranks: int, lengths: Lengths, *, is_chosen: bool
) -> Packing | None:
    """What packing does for a file's rows, or would do: `apart` and `together` are the fastest recipes of each kind,
    where one is known. None where both are unknown, or no two rows share a sequence."""
    known = apart or together
    if known is None:
        return None
    tokens, length = lengths.tokens, together[0].max_length if together else job.max_length or lengths.longest
    sequences = packed(tokens, length)
    if len(sequences) == len(tokens):
        return None
    step = known[0].per_device_train_batch_size * known[0].gradient_accumulation_steps * ranks

    def seconds(recipe: Timed | None) -> float | None:
        return None if recipe is None else workload(job, *recipe, ranks, lengths, None).seconds

    return Packing(
        is_chosen=is_chosen,
        rows=len(tokens),
        sequences=len(sequences),
        length=length,
        padding=1 - lengths.total / padded(tokens, known[0].per_device_train_batch_size, job.seed),
        steps_apart=math.ceil(len(tokens) / step),
        steps_packed=math.ceil(len(sequences) / step),
        seconds_apart=seconds(apart),
        seconds_packed=seconds(together),
    )
