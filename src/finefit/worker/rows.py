"""A data file as the trainer's dataset: its conversations, word for word.

`datasets.load_dataset("json")` guesses types (text that looks like a date becomes one) and brings every other key of a
row along, which TRL may act on. Here a row is its messages, role and content, and nothing else.
"""

from __future__ import annotations

import json

from datasets import Dataset, Features, List, Value

MESSAGES = Features({"messages": List({"role": Value("string"), "content": Value("string")})})


def conversations(path: str) -> Dataset:
    """The rows of a JSONL file that `finefit.world.rows` has checked; blank lines are none."""
    with open(path, encoding="utf-8") as file:
        rows = [json.loads(line)["messages"] for line in file if line.strip()]
    plain = [[{"role": message["role"], "content": message["content"]} for message in row] for row in rows]
    return Dataset.from_dict({"messages": plain}, features=MESSAGES)
