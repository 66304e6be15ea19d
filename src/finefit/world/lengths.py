"""About how many tokens the rows of a data file have, where the model's tokenizer is not at hand.

Knows: bytes of text, and that a message is marked. Does not know: the model's vocabulary and its chat template; both
figures here are guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from finefit.nouns.formats import MESSAGES, Format, Row
from finefit.nouns.formats.images import refs_of
from finefit.tables import rows_in

from .rows import Rows

BYTES_PER_TOKEN = 4
"""Of UTF-8. Guessed: a rule of thumb for English; code has fewer, and so has text that a vocabulary is not made for."""
MESSAGE_TOKENS = 5
"""Guessed, as ChatML marks a message: its start, the role, a new line, its end, a new line."""
IMAGE_TOKENS = 3
"""Guessed, as Qwen marks an image: its start, its end, and a placeholder where its pieces go."""
ENDING_TOKENS = 2
"""Of these, what an answer ends with, and so is trained with it."""
LAST_TOKENS = 1
"""The end-of-sequence token that TRL (1.16) puts after text that is no message."""

APPROXIMATION = (
    f"the model's tokenizer is not here: tokens are guessed, one for each {BYTES_PER_TOKEN} bytes of text and "
    f"{MESSAGE_TOKENS} for each message, and so is what depends on the lengths of rows"
)


COUNTED = (
    f"tokens of the text are the model's own; what its chat template adds is guessed, {MESSAGE_TOKENS} for each message"
)

Count = Callable[[str], int]


def file_lengths(path: str, rows: Rows, folder: str | None) -> tuple[list[int], str]:
    """Tokens of each good row of a file, and how they were found. `folder`: of the model's tokenizer."""
    found, how = counted_lengths(path, rows, folder, False)
    return [tokens for tokens, _ in found], how


def counted_lengths(
    path: str, rows: Rows, folder: str | None, assistant_only: bool
) -> tuple[list[tuple[int, int]], str]:
    """The same, and of each row those that are trained."""
    count = None if folder is None else _counter(Path(folder) / "tokenizer.json")
    found = list(_lengths(path, rows, assistant_only, count or _guessed))
    return found, APPROXIMATION if count is None else COUNTED


def _counter(file: Path) -> Count | None:
    """None where the library that reads tokenizers is not installed."""
    try:
        from tokenizers import Tokenizer
    except ImportError:
        return None
    tokenizer: Any = Tokenizer.from_file(str(file))
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def _guessed(text: str) -> int:
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def approximate_lengths(path: str, rows: Rows, assistant_only: bool) -> list[tuple[int, int]]:
    """Of each good row of a file: all tokens, and those that are trained. An image is one placeholder and what marks
    it; of a pair, the longer answer counts."""
    return counted_lengths(path, rows, None, assistant_only)[0]


def _lengths(path: str, rows: Rows, assistant_only: bool, count: Count) -> Iterator[tuple[int, int]]:
    without = frozenset(rows.bad)
    for placed in rows_in(path):
        if placed.number not in without:
            yield _row(placed.row, rows.format, assistant_only, count)


def _row(row: Row, format: Format, assistant_only: bool, count: Count) -> tuple[int, int]:
    pieces = [(one, count(one.text)) for one in format.said(row)]
    has_end = not any(one.is_message for one, _ in pieces)
    everything = sum(tokens + MESSAGE_TOKENS * one.is_message for one, tokens in pieces) + LAST_TOKENS * has_end
    if format is MESSAGES:
        everything += IMAGE_TOKENS * len(refs_of(row))
    if format.has_turns and not assistant_only:
        return everything, everything
    answers = sum(tokens + ENDING_TOKENS * one.is_message for one, tokens in pieces if one.is_answer)
    return everything, answers + LAST_TOKENS * has_end
