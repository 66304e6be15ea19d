"""Images that a row shows, and what a model's processor makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Size = tuple[int, int]
"""Width and height in pixels, before the processor resizes them."""


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
    along: int = 0
    # the dimension along which the images of one row follow one another; where it is not the first, rows with fewer are
    # filled up with zeros


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
    around: int = 0
    # tokens of text that the processor writes before, between and after the pieces

    @property
    def tokens(self) -> int:
        return sum(self.runs)

    @property
    def least_length(self) -> int:
        """Of a row: every run, and a token of text before each."""
        return self.tokens + len(self.runs)


@dataclass(frozen=True)
class LongRow:
    where: str
    # its file and line
    tokens: int
    # all of them
    image_tokens: int
    # of these, that stand for pieces of images


@dataclass(frozen=True)
class InRows:
    """What the rows of a file show, as a scan of it finds them."""

    rows: int
    # with images
    smallest: Size
    largest: Size
    # the images of fewest and of most pixels
    image_tokens: int | None
    # of all rows, that stand for pieces of images; None: it is not known what an image becomes
    longest: LongRow | None = None
    longest_text: LongRow | None = None
    # that would be the longest without any image


@dataclass(frozen=True)
class Showing:
    """What the rows of a file show."""

    images: int
    rows: int
    # with images
    smallest: Size
    largest: Size
    # the images of fewest and of most pixels
    peak_lines: tuple[int, ...]
    # of the file: the rows of the micro-batch that sets the peak
    rehearsed: int
    # micro-batches that were
    more: int
    # that may be the fullest too, between these, and were not
