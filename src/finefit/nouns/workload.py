"""How much a run reads in all, how long that takes, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from .offer import Offer


@dataclass(frozen=True)
class Lengths:
    """Of a file's rows."""

    tokens: tuple[int, ...]
    # of each row, in its order
    longest_line: int
    # of the file: the row that sets the peak
    is_guessed: bool
    # no tokenizer was at hand

    @cached_property
    def longest(self) -> int:
        return max(self.tokens)

    @cached_property
    def total(self) -> int:
        return sum(self.tokens)


@dataclass(frozen=True)
class Packing:
    """What it makes of a file's rows."""

    is_chosen: bool
    rows: int
    sequences: int
    # that they share
    length: int
    # of each, at most
    padding: float
    # of what is read without packing, the part that pads
    steps_apart: int
    steps_packed: int
    # of the optimizer, an epoch
    seconds_apart: float | None
    seconds_packed: float | None
    # of the whole run on the fastest recipe of each kind; None where none is known to fit


@dataclass(frozen=True)
class Workload:
    rows: int
    epochs: float
    steps: int
    # of the optimizer
    tokens: int
    # of the rows, all epochs
    padded_tokens: int
    # that the GPUs read: rows of a micro-batch are as long as its longest
    seconds: float
    low: float
    high: float
    # at least and at most
    longest_line: int
    offer: Offer | None
    # the cheapest machine; None where no price is known

    @property
    def real_share(self) -> float:
        """Of what is read, what is not padding."""
        return self.tokens / self.padded_tokens

    @property
    def own_tokens_per_second(self) -> float:
        """Without padding, of all GPUs together."""
        return self.tokens / self.seconds

    @property
    def usd(self) -> float | None:
        return None if self.offer is None else self.offer.usd_per_hour * self.seconds / 3600
