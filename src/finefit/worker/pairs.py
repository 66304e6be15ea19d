"""Pairs of answers as TRL's trainer of preferences tokenises them: a prompt, and what may follow it.

Source: TRL 1.16, dpo_trainer.py (`_prepare_dataset`, `DataCollatorForPreference`): both sequences of every pair of a
micro-batch are padded to the longest of all of them, and nothing is cut where `max_length` is None.

Knows: how long a pair is, and what of it is trained. Does not know: text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

PROMPT, CHOSEN, REJECTED = "prompt_ids", "chosen_ids", "rejected_ids"
KNOWN = ("ref_chosen_logps", "ref_rejected_logps")
"""The columns of rows whose reference was asked."""
COLUMNS = (PROMPT, CHOSEN, REJECTED, *KNOWN)
ANSWERS = "completion_mask"
"""Of a collated micro-batch, the chosen sequences first: which tokens are of an answer."""

Pair = Mapping[str, Any]


def are_pairs(rows: Any) -> bool:
    return PROMPT in rows.column_names


def length_of(pair: Pair) -> int:
    """Tokens of its longer sequence."""
    return len(pair[PROMPT]) + max(len(pair[CHOSEN]), len(pair[REJECTED]))


def lengths_of(rows: Any) -> list[int]:
    """That of each pair."""
    return [max(both) for both in _sequences(rows)]


def _sequences(rows: Any) -> list[tuple[int, int]]:
    columns = (rows[PROMPT], rows[CHOSEN], rows[REJECTED])
    return [
        (len(prompt) + len(chosen), len(prompt) + len(rejected))
        for prompt, chosen, rejected in zip(*columns, strict=True)
    ]


def counts_of(rows: Any) -> tuple[int, int]:
    """All tokens that go through the model, the prompt's twice; and those of the answers."""
    answers = sum(len(ids) for name in (CHOSEN, REJECTED) for ids in rows[name])
    return answers + 2 * sum(len(ids) for ids in rows[PROMPT]), answers


def fullness(rows: Any, micro_batch: int) -> list[int]:
    """By which pairs are in order: their lengths. A pair that is a micro-batch by itself and whose answers are as long
    as each other has no padding, and so no mask: it comes behind all that have one."""
    both = _sequences(rows)
    behind = max(max(each) for each in both) if micro_batch == 1 else 0
    return [max(each) - (behind if each[0] == each[1] else 0) for each in both]


def longest_alike(rows: Any, batch: Sequence[int], micro_batch: int) -> list[int]:
    """The longest pair without a mask, where it is longer than the micro-batch of one pair that has one."""
    if micro_batch > 1:
        return []
    both = _sequences(rows)
    alike = [row for row, (chosen, rejected) in enumerate(both) if chosen == rejected]
    longest = max(alike, key=lambda row: max(both[row]), default=batch[0])
    return [longest] if max(both[longest]) > max(both[batch[0]]) else []


def pair_of(tokens: int, answer: int) -> dict[str, list[int]]:
    """A pair of such a length, of which so many tokens are the longer answer: the other one is a token shorter, since
    two answers are hardly ever of one length."""
    prompt = max(1, tokens - answer)
    chosen = max(2, tokens - prompt)
    return {PROMPT: [1] * prompt, CHOSEN: [1] * chosen, REJECTED: [1] * (chosen - 1)}


def thinned(pair: Pair, before: int, after: int) -> dict[str, Any]:
    """With fewer tokens, evenly spread: as if `before` were `after`. What was padded is padded still."""
    prompt = max(1, len(pair[PROMPT]) * after // before)
    answers = {
        name: _spread(pair[name], max(1, (len(pair[PROMPT]) + len(pair[name])) * after // before - prompt))
        for name in (CHOSEN, REJECTED)
    }
    return {**pair, PROMPT: _spread(pair[PROMPT], prompt), **answers}


def _spread(ids: Sequence[int], count: int) -> list[int]:
    return [ids[place * len(ids) // count] for place in range(count)]
