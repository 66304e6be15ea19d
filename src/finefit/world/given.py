"""A job as a rule sees it: its values, and where they were given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from finefit.errors import Problem
from finefit.nouns.job import Job
from finefit.nouns.machine import Machine

from .entries import Entry


@dataclass(frozen=True)
class Given:
    """A job whose values are each right, and where they were given."""

    job: Job
    entries: Mapping[str, Entry]
    wrong: frozenset[str]
    # keys whose own value is wrong: a rule that needs one of them says nothing
    machine: Machine | None
    # None: the name of the GPU is wrong

    def where(self, *keys: str) -> str:
        """Where the first of these keys stands that the user gave."""
        return next((self.entries[key].where for key in keys if key in self.entries), keys[0])

    def has(self, *keys: str) -> bool:
        return all(key in self.entries and key not in self.wrong for key in keys)


Rule = Callable[[Given], Iterator[Problem]]
