"""Pairs of answers, `chosen` and `rejected`, for preferences (DPO): as text or as messages, with the prompt beside them
or at the beginning of both.

Source: TRL 1.16, data_utils.py (`extract_prompt`: what both begin with is the prompt; `maybe_extract_prompt`: a prompt
in text beside answers in messages is not read).

Knows: whether a row is a pair. Does not know: how to train on it.
"""

from __future__ import annotations

import json
from itertools import takewhile
from typing import Any

from .both import is_chat, unpaired, wrong_chats
from .format import WITH_MESSAGES, Columns, Format, Row, Said
from .turns import Message, plain, said_in, wrong_messages, wrong_text

BOTH = ("chosen", "rejected")


def has_prompt(row: Row) -> bool:
    prompt = row.get("prompt")
    return prompt is not None and not (is_chat(row, BOTH) and isinstance(prompt, str))


def _wrong_pair(row: Row) -> str:
    if reason := unpaired(row, BOTH):
        return reason
    return "`chosen` and `rejected` are the same: nothing is preferred" if row["chosen"] == row["rejected"] else ""


def _wrong_text(row: Row, _blind: str) -> str:
    reasons = (wrong_text(row[key], key) for key in BOTH)
    return _wrong_pair(row) or next((reason for reason in reasons if reason), "")


def _wrong_prompted_text(row: Row, blind: str) -> str:
    return _wrong_text(row, blind) or wrong_text(row["prompt"], "prompt", may_be_empty=True)


def _wrong_implicit_text(row: Row, blind: str) -> str:
    if reason := _wrong_text(row, blind):
        return reason
    prompt = "".join(shared(row))
    if not prompt.removesuffix(" "):  # which TRL leaves to the answers
        return "there is no prompt: `chosen` and `rejected` begin differently"
    short = next((key for key in BOTH if len(prompt) == len(row[key])), "")
    return f"`{short}` has nothing after the prompt" if short else ""


def _wrong_chat(row: Row, blind: str) -> str:
    return _wrong_pair(row) or wrong_chats(row, BOTH, blind)


def _wrong_prompted_chat(row: Row, blind: str) -> str:
    reason = _wrong_chat(row, blind) or wrong_messages(row["prompt"], "prompt", blind or WITH_MESSAGES, " of `prompt`")
    return reason or _wrong_ends(row["chosen"], row["rejected"])


def _wrong_implicit_chat(row: Row, blind: str) -> str:
    if reason := _wrong_chat(row, blind):
        return reason
    start = len(shared(row))
    if not start:
        return "there is no prompt: `chosen` and `rejected` begin differently"
    return _wrong_ends(row["chosen"][start:], row["rejected"][start:])


def _wrong_ends(chosen: list[Message], rejected: list[Message]) -> str:
    for key, messages in zip(BOTH, (chosen, rejected), strict=True):
        if not messages:
            return f"`{key}` has nothing after the prompt"
        if messages[-1]["role"] != "assistant":
            return f"`{key}` ends with a message of the {messages[-1]['role']}, not with an answer"
    return ""


def shared(row: Row) -> list[Any]:
    """What both answers begin with: letters or messages."""
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(row["chosen"], row["rejected"], strict=False))
    return [one for one, _ in pairs]


def _columns(row: Row, keys: tuple[str, ...]) -> Columns:
    return {key: plain(row[key]) if isinstance(row[key], list) else row[key] for key in keys}


def _said(row: Row, keys: tuple[str, ...]) -> list[Said]:
    """With the longer answer: a row's length is its own."""
    longer = max(BOTH, key=lambda key: len(json.dumps(row[key])))
    shown = [row[key] for key in keys if key == longer or key not in BOTH]
    pieces = [said_in(value) if isinstance(value, list) else [Said(value, False, True)] for value in shown]
    return [one for each in pieces for one in each]


def _format(name: str, keys: tuple[str, ...], how: str, example: str, wrong: Any) -> Format:
    return Format(
        name=name,
        keys=frozenset(keys),
        trained="pairs",
        how=f"pairs for preferences (DPO): {how}",
        example=example,
        wrong=wrong,
        columns=lambda row: _columns(row, keys),
        said=lambda row: _said(row, keys),
    )


def _message(role: str, content: str) -> str:
    return f'{{"role": "{role}", "content": "{content}"}}'


ASKED, BETTER, WORSE = _message("user", "…"), _message("assistant", "better"), _message("assistant", "worse")
PROMPTED = _format(
    "prompt/chosen/rejected", ("prompt", *BOTH), "two answers to a prompt, text as it is",
    '{"prompt": "…", "chosen": "better", "rejected": "worse"}', _wrong_prompted_text,
)  # fmt: skip
PROMPTED_CHAT = _format(
    "prompt/chosen/rejected messages", ("prompt", *BOTH), "two answers to a prompt, in messages",
    f'{{"prompt": [{ASKED}], "chosen": [{BETTER}], "rejected": [{WORSE}]}}', _wrong_prompted_chat,
)  # fmt: skip
IMPLICIT = _format(
    "chosen/rejected", BOTH, "what both begin with is the prompt, text as it is",
    '{"chosen": "… better", "rejected": "… worse"}', _wrong_implicit_text,
)  # fmt: skip
IMPLICIT_CHAT = _format(
    "chosen/rejected messages", BOTH, "the messages that both begin with are the prompt",
    f'{{"chosen": [{ASKED}, {BETTER}], "rejected": [{ASKED}, {WORSE}]}}', _wrong_implicit_chat,
)  # fmt: skip
