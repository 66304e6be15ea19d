"""The order in which a run meets its rows: at random, but for the longest ones, which come at once."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.utils.data import Sampler


class LongestFirst(Sampler[int]):
    """A seeded random order, except that the longest row comes in the last micro-batch of the second step.

    There the optimizer's state and the gradients are present: it is the fullest moment of the whole run, and it comes
    in its first minute. The second-longest row comes in the same place of the first step. A run of one step has the
    longest row there. Of rows that are flattened, and not padded to the longest, these are as many (`together`) as a
    micro-batch has.
    """

    def __init__(self, lengths: list[int], micro_batch: int, accumulation: int, seed: int, together: int = 1) -> None:
        self.lengths = lengths
        self.per_step = micro_batch * accumulation
        self.last_micro_batch = micro_batch * (accumulation - 1)
        self.seed = seed
        self.together = together
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.lengths)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        order = torch.randperm(len(self.lengths), generator=generator).tolist()
        if self.epoch == 0:
            by_length = sorted(order, key=lambda row: -self.lengths[row])
            firsts = (self.per_step + self.last_micro_batch, self.last_micro_batch)
            whole = [first for first in firsts if first + self.together <= len(order)]
            places = [place for first in whole for place in range(first, first + self.together)]
            for place, row in zip(places, by_length, strict=False):
                other = order.index(row)
                order[place], order[other] = order[other], order[place]
        return iter(order)
