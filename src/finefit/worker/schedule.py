"""The micro-batches of a run before it runs: the trainer's own order of the rows, and their lengths.

Knows: what `RunTrainer` does between two steps that gives cached memory back, which is saving and evaluating. Does not
know: a run that is interrupted and resumed, or resumed with other data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import Any

from finefit.nouns.schedule import MicroBatch, Step, chosen
from finefit.nouns.steps import optimizer_steps

from .batches import fullness_of, lengths_of
from .longest_first import LongestFirst
from .stage import RECORDED_STEPS

MOST_ROWS = 300_000
"""That are looked at, in two seconds (8 µs a row, on two shared cores): later ones come after many as long."""


@dataclass(frozen=True)
class Schedule:
    """Of a run's rows, by their numbers."""

    lengths: Sequence[int]
    arguments: Mapping[str, Any]
    # the trainer's, of the run
    has_held_out: bool
    fullness: Sequence[int] | None = None
    # by which rows are in order; None: by their lengths
    is_flat: bool = False
    # rows of a micro-batch are one sequence, and not padded to the longest

    @property
    def micro_batch(self) -> int:
        """Rows."""
        size: int = self.arguments["per_device_train_batch_size"]
        return size

    def order(self, epoch: int) -> list[int]:
        accumulation, seed = self.arguments["gradient_accumulation_steps"], self.arguments["seed"]
        by, together = self.fullness or self.lengths, self.micro_batch if self.is_flat else 1
        sampler = LongestFirst(list(by), self.micro_batch, accumulation, seed, together)
        sampler.set_epoch(epoch)
        return list(sampler)

    def steps(self) -> Iterator[list[list[int]]]:
        """The micro-batches of each optimizer step; an epoch's last step may have fewer, and its last fewer rows."""
        left = optimizer_steps(self.arguments, len(self.lengths))
        per_step = self.micro_batch * self.arguments["gradient_accumulation_steps"]
        for epoch in count():
            order = self.order(epoch)
            for start in range(0, len(order), per_step):
                if not left:
                    return
                left -= 1
                yield _parts(order[start : start + per_step], self.micro_batch)

    def empties_cache(self, done: int) -> bool:
        """After so many steps."""
        if not done:
            return self.has_held_out
        evaluates = self.arguments["eval_strategy"] == "steps" and done % self.arguments["eval_steps"] == 0
        return evaluates or (done >= RECORDED_STEPS and done % self.arguments["save_steps"] == 0)

    def size(self, batch: Sequence[int]) -> MicroBatch:
        lengths = [self.lengths[row] for row in batch]
        if self.is_flat:
            return MicroBatch(1, sum(lengths), sum(lengths))
        return MicroBatch(len(batch), max(lengths), sum(lengths))

    def chosen(self, rows: int) -> list[Step]:
        """The steps that reserved memory depends on, of their micro-batches those with so many rows."""
        looked_at = MOST_ROWS // (self.micro_batch * self.arguments["gradient_accumulation_steps"]) + 1
        told, is_empty = [], False
        for done, step in enumerate(islice(self.steps(), looked_at)):
            is_empty = is_empty or self.empties_cache(done)
            sizes = tuple(self.size(batch) for batch in step if len(batch) == rows)
            if sizes:
                told.append(Step(sizes, is_empty))
                is_empty = False
        return chosen(told)


def schedule_of(rows: Any, arguments: Mapping[str, Any], has_held_out: bool) -> Schedule:
    flat = arguments.get("padding_free", False)
    by = fullness_of(rows, arguments["per_device_train_batch_size"], flat)
    return Schedule(lengths_of(rows), arguments, has_held_out, by, flat)


def _parts(rows: list[int], size: int) -> list[list[int]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]
