"""Lengths of rows without a tokenizer."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

from finefit.world.lengths import BYTES_PER_TOKEN, ENDING_TOKENS, MESSAGE_TOKENS, approximate_lengths
from finefit.world.rows import Rows

GOOD = Rows(())
"""Of messages, none left out."""


def row(*messages: tuple[str, str]) -> str:
    return json.dumps({"messages": [{"role": role, "content": content} for role, content in messages]}) + "\n"


def test_tokens_are_guessed_from_bytes_and_messages(tmp_path: Path) -> None:
    """Of each row, blank lines left out: all of them, and those of the answers, or all where all are trained."""
    path = tmp_path / "rows.jsonl"
    path.write_text(row(("user", "word " * 80), ("assistant", "é" * 20)) + "\n" + row(("assistant", "")))
    question, answer = 400 // BYTES_PER_TOKEN, 40 // BYTES_PER_TOKEN
    everything = question + answer + 2 * MESSAGE_TOKENS
    answers = [(everything, answer + ENDING_TOKENS), (MESSAGE_TOKENS, ENDING_TOKENS)]
    assert approximate_lengths(str(path), GOOD, assistant_only=True) == answers
    assert approximate_lengths(str(path), GOOD, assistant_only=False) == [(tokens, tokens) for tokens, _ in answers]


def test_more_text_is_never_fewer_tokens(tmp_path: Path) -> None:
    """A byte more is as many tokens or one more."""
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(row(("assistant", "x" * length)) for length in range(40)))
    lengths = [tokens for tokens, _ in approximate_lengths(str(path), GOOD, assistant_only=True)]
    assert {after - before for before, after in pairwise(lengths)} == {0, 1}
