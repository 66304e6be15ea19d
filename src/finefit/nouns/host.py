"""What a run takes beside its GPUs: the host's memory and its disk."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from .range import Basis

When = Literal["always", "loading", "training", "saving", "merging"]
MOMENTS: tuple[When, ...] = ("loading", "training", "saving", "merging")
"""One after the other. Merging is another run, of one process: what is always there is not there then."""


@dataclass(frozen=True)
class Need:
    what: str
    when: When
    nbytes: int
    # of all processes together
    basis: Basis
    why: str


@dataclass(frozen=True)
class Host:
    ram: tuple[Need, ...]
    disk: tuple[Need, ...]

    @property
    def ram_bytes(self) -> int:
        """At the fullest moment."""
        return self.ram_at(self.fullest)

    @property
    def fullest(self) -> When:
        return max(MOMENTS, key=self.ram_at)

    @property
    def disk_bytes(self) -> int:
        return sum_of(self.disk)

    def ram_at(self, when: When) -> int:
        return sum_of(self.needs_at(when))

    def needs_at(self, when: When) -> tuple[Need, ...]:
        kinds = (when,) if when == "merging" else (when, "always")
        return tuple(need for need in self.ram if need.when in kinds)


def sum_of(needs: Iterable[Need]) -> int:
    return sum(need.nbytes for need in needs)
