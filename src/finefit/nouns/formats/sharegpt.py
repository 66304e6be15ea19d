"""`conversations` of `from` and `value`, as ShareGPT has them: read as `messages`.

TRL (1.16, `maybe_convert_to_chatml`) renames the keys and leaves `human` and `gpt` as they are, which no chat template
knows; here they become roles.
"""

from __future__ import annotations

import json
from typing import Any

from finefit.nouns.kinds import kind

from .format import WITH_MESSAGES, Columns, Format, Row
from .turns import said_in, wrong_answers, wrong_content, wrong_keys, wrong_text

SPEAKERS = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "tool": "tool",
    "observation": "tool",
}
"""Roles of those who speak. `human` and `gpt` are FastChat's, `observation` is LLaMA-Factory's."""


def wrong(row: Row, blind: str) -> str:
    turns = row["conversations"]
    if row.get("system") is not None and (reason := wrong_text(row["system"], "system", may_be_empty=True)):
        return reason
    if not isinstance(turns, list):
        return f"`conversations` is {kind(turns)}, not a list"
    if not turns:
        return "`conversations` is empty"
    reason = next((each for number, turn in enumerate(turns, 1) if (each := _wrong_turn(turn, number, blind))), "")
    if not reason and row.get("system") and any(SPEAKERS[turn["from"]] == "system" for turn in turns):
        return "the row has `system` and a message of the system too: which of them counts is not said"
    return reason or wrong_answers(columns(row)["messages"])


def _wrong_turn(turn: Any, number: int, blind: str) -> str:
    where = f"message {number}"
    if reason := wrong_keys(turn, where, ("from", "value"), {"role": "`role` and `content` belong in `messages`"}):
        return reason
    if not isinstance(turn["from"], str) or turn["from"] not in SPEAKERS:
        return f"{where} is from {json.dumps(turn['from'], default=str)}, not one of {', '.join(SPEAKERS)}"
    return wrong_content(turn["value"], where, blind or WITH_MESSAGES)


def columns(row: Row) -> Columns:
    system = [{"role": "system", "content": row["system"]}] if row.get("system") else []
    turns = [{"role": SPEAKERS[turn["from"]], "content": turn["value"]} for turn in row["conversations"]]
    return {"messages": [*system, *turns]}


SHAREGPT = Format(
    name="conversations (ShareGPT)",
    keys=frozenset({"conversations", "system"}),
    trained="turns",
    how="as `messages` (human is the user, gpt the assistant), written by the model's own chat template",
    example='{"conversations": [{"from": "human", "value": "…"}, {"from": "gpt", "value": "…"}]}',
    wrong=wrong,
    columns=columns,
    said=lambda row: said_in(columns(row)["messages"]),
)
