"""What looking at rows and at pairs has in common: which of them are shown, what a check is, where an answer ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

NO_TEMPLATE = "the tokenizer has no chat template, and these rows are conversations"


def spread(lengths: Sequence[int], count: int) -> list[int]:
    """Rows from the shortest to the longest, evenly spread."""
    by_length = sorted(range(len(lengths)), key=lengths.__getitem__)
    last = len(by_length) - 1
    return list(dict.fromkeys(by_length[last * place // max(1, count - 1)] for place in range(count)))


def check(what: str, is_right: bool, why: str) -> dict[str, Any]:
    return {"what": what, "is_right": is_right, "why": why}


def endless(tokenizer: Any, answers: Sequence[Sequence[int]]) -> int:
    """How many of them end with no token that ends something; blank ones behind it do not count."""
    ends = {tokenizer.eos_token_id, *tokenizer.get_added_vocab().values()}
    return sum(_last(tokenizer, each) not in ends for each in answers)


def _last(tokenizer: Any, ids: Sequence[int]) -> int | None:
    """The last token that is more than blank."""
    return next((token for token in reversed(ids) if tokenizer.decode([token]).strip()), None)
