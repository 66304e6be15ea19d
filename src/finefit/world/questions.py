"""A data file of prompts to answer: checked row by row before a model is loaded.

A row has `prompt` (text, or messages), or `messages`. Where the last of `messages` is the assistant's, it is what the
model is asked to say instead, and stays in the row beside the answer: so the rows of a training file can be asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finefit.errors import BadInput, Problem
from finefit.nouns.formats.images import has_images
from finefit.nouns.kinds import kind
from finefit.tables import Placed, place, rows_in

ANSWERS = ("answer", "base_answer")
"""What is added to a row, which may not have it."""
SHOWN = 20
EXAMPLE = '{"prompt": "…"}'


@dataclass(frozen=True)
class Question:
    where: str
    # the file and the line
    row: Mapping[str, Any]
    # as it was read
    messages: list[dict[str, str]]
    # what is put before the model


def read_questions(path: Path) -> list[Question]:
    """Every row, or BadInput with what is wrong in each."""
    found, bad = [], []
    for placed in rows_in(path):
        where = place(path, placed.number)
        try:
            row = _row(placed)
            found.append(Question(where, row, list(_messages(row))))
        except ValueError as error:
            bad.append(Problem(str(error), where=where))
    if bad:
        total = Problem(f"{len(bad)} rows cannot be answered", where=str(path), hint=f"rows like {EXAMPLE}")
        raise BadInput(*bad[:SHOWN], total)
    if not found:
        raise BadInput(Problem("there are no rows in this file", where=str(path), hint=f"rows like {EXAMPLE}"))
    return found


def _row(placed: Placed) -> Mapping[str, Any]:
    if placed.wrong:
        raise ValueError(placed.wrong)
    if has_images(placed.row) or _shows(placed.row):
        raise ValueError("the row has images: answers are written to words alone in this version")
    taken = [key for key in ANSWERS if key in placed.row]
    if taken:
        raise ValueError(f"the row has `{taken[0]}` already")
    return placed.row


def _shows(row: Mapping[str, Any]) -> bool:
    """In a message."""
    said = [part for message in row.get("messages") or [] if isinstance(message, dict) for part in _parts(message)]
    return any(isinstance(part, dict) and part.get("type") == "image" for part in said)


def _parts(message: Mapping[str, Any]) -> list[Any]:
    return content if isinstance(content := message.get("content"), list) else []


def _messages(row: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    asked = row.get("prompt", row.get("messages"))
    if asked is None:
        raise ValueError("neither `prompt` nor `messages`")
    if isinstance(asked, str):
        yield {"role": "user", "content": asked}
        return
    if not isinstance(asked, list):
        raise ValueError(f"the prompt is {kind(asked)}, neither text nor messages")
    messages = [_message(message, number) for number, message in enumerate(asked, 1)]
    if "prompt" not in row and messages and messages[-1]["role"] == "assistant":
        messages.pop()
    if not messages:
        raise ValueError("nothing is asked")
    yield from messages


def _message(message: Any, number: int) -> dict[str, str]:
    if not isinstance(message, dict) or not {"role", "content"} <= message.keys():
        raise ValueError(f"message {number} has no role and content")
    if not isinstance(message["content"], str) or not isinstance(message["role"], str):
        raise ValueError(f"the content of message {number} is {kind(message['content'])}, not text")
    return {"role": message["role"], "content": message["content"]}
