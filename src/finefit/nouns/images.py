"""Images that a row shows, and what a model's processor makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Images:
    """All of one size, as many in every row."""

    width: int
    height: int
    # in pixels, before the processor resizes them
    count: int = 1
    # of one row


@dataclass(frozen=True)
class Entry:
    """One tensor beside the token ids; those of several rows follow one another along the first dimension."""

    shape: tuple[int, ...]
    # of one row
    dtype: str
    values: tuple[Any, ...] | None = None
    # where code depends on them; a picture's do not matter


@dataclass(frozen=True)
class Shown:
    """What the images of one row become."""

    token: int
    # the id that stands for a piece of an image
    runs: tuple[int, ...]
    # how many of it come in one piece, between tokens of text
    entries: Mapping[str, Entry]
    has_types: bool = False
    # whether a tensor says of every token whether it is text

    @property
    def tokens(self) -> int:
        return sum(self.runs)

    @property
    def least_length(self) -> int:
        """Of a row: every run, and a token of text before each."""
        return self.tokens + len(self.runs)
