"""A data file of prompts to answer: checked row by row before a model is loaded.

A row has `prompt` (text, or messages), or `messages`. Where the last of `messages` is the assistant's, it is what the
model is asked to say instead, and stays in the row beside the answer: so the rows of a training file can be asked.
Where a model sees, rows show images as those that it is trained on do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finefit.errors import BadInput, Problem
from finefit.nouns.formats.image_refs import Unreadable, told_of
from finefit.nouns.formats.images import has_images, in_parts, refs_of, wrong_parts, wrong_with_images
from finefit.nouns.images import Size
from finefit.nouns.kinds import kind
from finefit.tables import Placed, place, rows_in

from .image_files import HEADERS, Looks, sizes_of

ANSWERS = ("answer", "base_answer")
"""What is added to a row, which may not have it."""
SHOWN = 20
EXAMPLE = '{"prompt": "…"}'
Message = dict[str, Any]
"""Content is text; in parts where the row shows an image."""


@dataclass(frozen=True)
class Question:
    where: str
    # the file and the line
    row: Mapping[str, Any]
    # as it was read
    messages: list[Message]
    # what is put before the model: of an image its whole path, or a data URL
    sizes: tuple[Size, ...] = ()
    # of the images that it shows, in their order


def read_questions(path: Path, blind: str, looks: Looks = HEADERS) -> list[Question]:
    """Every row, or `BadInput` with what is wrong in each. `blind`: why none may show images; empty where rows may."""
    found, bad = [], []
    for placed in rows_in(path):
        where = place(path, placed.number)
        try:
            row = _row(placed)
            found.append(_question(where, row, blind, looks, path.absolute().parent))
        except (ValueError, Unreadable) as error:
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
    taken = [key for key in ANSWERS if key in placed.row]
    if taken:
        raise ValueError(f"the row has `{taken[0]}` already")
    return placed.row


def _question(where: str, row: Mapping[str, Any], blind: str, looks: Looks, folder: Path) -> Question:
    shows = has_images(row) or any(_shows(message) for message in _asked(row))
    if shows and blind:
        raise ValueError(f"the row has images: {blind}")
    messages = [_message(message, number, blind) for number, message in enumerate(_asked(row), 1)]
    asked = {"messages": messages, "images": row.get("images"), "image": row.get("image")}
    if shows:
        if reason := wrong_with_images(asked):
            raise ValueError(reason)
        messages = list(in_parts(asked))
    if "prompt" not in row and messages and messages[-1]["role"] == "assistant":
        messages.pop()
    if not messages:
        raise ValueError("nothing is asked")
    if not shows:
        return Question(where, row, messages)
    sizes = sizes_of(refs_of({"messages": messages}), folder, looks)
    return Question(where, row, [_whole(message, folder) for message in messages], sizes)


def _whole(message: Message, folder: Path) -> Message:
    """For who does not know the folder."""
    told = [
        part | {"image": told_of(part["image"], folder)} if "image" in part else part for part in message["content"]
    ]
    return message | {"content": told}


def _asked(row: Mapping[str, Any]) -> list[Any]:
    asked = row.get("prompt", row.get("messages"))
    if asked is None:
        raise ValueError("neither `prompt` nor `messages`")
    if isinstance(asked, str):
        return [{"role": "user", "content": asked}]
    if not isinstance(asked, list):
        raise ValueError(f"the prompt is {kind(asked)}, neither text nor messages")
    return asked


def _shows(message: Any) -> bool:
    content = message.get("content") if isinstance(message, dict) else None
    parts = content if isinstance(content, list) else []
    return any(isinstance(part, dict) and part.get("type") == "image" for part in parts)


def _message(message: Any, number: int, blind: str) -> Message:
    if not isinstance(message, dict) or not {"role", "content"} <= message.keys():
        raise ValueError(f"message {number} has no role and content")
    role, content = message["role"], message["content"]
    if not isinstance(content, str if blind else str | list) or not isinstance(role, str):
        raise ValueError(f"the content of message {number} is {kind(content)}, not text")
    if reason := wrong_parts(content, f"message {number}"):
        raise ValueError(reason)
    return {"role": role, "content": content}
