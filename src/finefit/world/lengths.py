"""About how many tokens the rows of a data file have, where the model's tokenizer is not at hand.

Knows: bytes of text, and that a message is marked. Does not know: the model's vocabulary and its chat template; both
figures here are guessed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .image_rows import refs_of, texts_of

BYTES_PER_TOKEN = 4
"""Of UTF-8. Guessed: a rule of thumb for English; code has fewer, and so has text that a vocabulary is not made for."""
MESSAGE_TOKENS = 5
"""Guessed, as ChatML marks a message: its start, the role, a new line, its end, a new line."""
IMAGE_TOKENS = 3
"""Guessed, as Qwen marks an image: its start, its end, and a placeholder where its pieces go."""
ENDING_TOKENS = 2
"""Of these, what an answer ends with, and so is trained with it."""

APPROXIMATION = (
    f"the model's tokenizer is not here: tokens are guessed, one for each {BYTES_PER_TOKEN} bytes of text and "
    f"{MESSAGE_TOKENS} for each message, and so is what depends on the lengths of rows"
)


COUNTED = (
    f"tokens of the text are the model's own; what its chat template adds is guessed, {MESSAGE_TOKENS} for each message"
)


def file_lengths(path: str, folder: str | None) -> tuple[list[int], str]:
    """Tokens of each row of a file that was checked, and how they were found. `folder`: of the model's tokenizer."""
    count = None if folder is None else _counter(Path(folder) / "tokenizer.json")
    with Path(path).open(encoding="utf-8") as file:
        found = [_row(line, False, count or _guessed)[0] for line in file if line.strip()]
    return found, APPROXIMATION if count is None else COUNTED


def _counter(file: Path) -> Callable[[str], int] | None:
    """None where the library that reads tokenizers is not installed."""
    try:
        from tokenizers import Tokenizer
    except ImportError:
        return None
    tokenizer = Tokenizer.from_file(str(file))
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def _guessed(text: str) -> int:
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def approximate_lengths(path: str, assistant_only: bool) -> list[tuple[int, int]]:
    """Of each row of a file that was checked: all tokens, and those that are trained. An image is one placeholder and
    what marks it."""
    with Path(path).open(encoding="utf-8") as file:
        return [_row(line, assistant_only, _guessed) for line in file if line.strip()]


def _row(line: str, assistant_only: bool, count: Callable[[str], int]) -> tuple[int, int]:
    row = json.loads(line)
    messages = list(_messages(row, count))
    everything = sum(tokens + MESSAGE_TOKENS for _, tokens in messages) + IMAGE_TOKENS * len(refs_of(row))
    answers = sum(tokens + ENDING_TOKENS for role, tokens in messages if role == "assistant")
    return everything, answers if assistant_only else everything


def _messages(row: Mapping[str, Any], count: Callable[[str], int]) -> Iterator[tuple[str, int]]:
    for message in row["messages"]:
        text = "".join(texts_of(message["content"]))
        yield message["role"], count(text)
