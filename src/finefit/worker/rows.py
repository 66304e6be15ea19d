"""A data file as the trainer's dataset: its conversations, word for word.

`datasets.load_dataset("json")` guesses types (text that looks like a date becomes one) and brings every other key of a
row along, which TRL may act on. Here a row is its messages, role and content, and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from datasets import Dataset, Features, List, Value

MESSAGES = Features({"messages": List({"role": Value("string"), "content": Value("string")})})
PART = {"type": Value("string"), "text": Value("string")}
IN_PARTS = Features({"messages": List({"role": Value("string"), "content": List(PART)})})


def conversations(path: str) -> Dataset:
    """The rows of a JSONL file that `finefit.world.rows` has checked; blank lines are none."""
    with open(path, encoding="utf-8") as file:
        rows = [json.loads(line)["messages"] for line in file if line.strip()]
    plain = [[{"role": message["role"], "content": message["content"]} for message in row] for row in rows]
    return Dataset.from_dict({"messages": plain}, features=MESSAGES)


def conversations_in_parts(path: str) -> Dataset:
    """Those of rows that show images: all content in parts, and a part where each image goes, as TRL's
    `prepare_multimodal_messages` does it. Which image it is, is not said."""
    with open(path, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file if line.strip()]
    return Dataset.from_dict({"messages": [list(_in_parts(row)) for row in rows]}, features=IN_PARTS)


def _in_parts(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    first = [IMAGE] * (1 if row.get("image") is not None else len(row.get("images") or []))
    for message in row["messages"]:
        content = message["content"]
        if not isinstance(content, str):
            content = [{"type": part["type"], "text": part.get("text")} for part in content]
        elif message["role"] == "user":
            content, first = [*first, _text(content)], []
        else:
            content = [_text(content)]
        yield {"role": message["role"], "content": content}


IMAGE = {"type": "image", "text": None}


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}
