"""Files of pairs, and the orders of a run on them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from finefit.nouns.formats.pairs import PROMPTED_CHAT

ROWS, LONGEST_WORDS = 14, 57
LONGEST_TOKENS = 1 + 2 + 1 + LONGEST_WORDS + 1
"""<user>, the question, <answer>, the longest answer, <end>."""


def written(path: Path, count: int) -> Path:
    """Pairs whose answers differ in length; the rejected one is the longest of the file in the last row but one."""
    with path.open("w") as file:
        for row in range(count):
            lengths = (2 + row * 7 % count, LONGEST_WORDS if row == count - 2 else 3 + row * 5 % count)
            chosen, rejected = (_words(row * step, length) for step, length in zip((5, 11), lengths, strict=True))
            asked = [{"role": "user", "content": _words(row * 3, 2)}]
            answers = {
                key: [{"role": "assistant", "content": text}]
                for key, text in zip(BOTH, (chosen, rejected), strict=True)
            }
            file.write(json.dumps({"prompt": asked, **answers}) + "\n")
    return path


BOTH = ("chosen", "rejected")


def _words(start: int, count: int) -> str:
    """That the tiny model knows (conftest.py)."""
    return " ".join(f"w{(start + place) % 90}" for place in range(count))


def told(pairs: dict[str, str], reference: str, **changes: Any) -> dict[str, Any]:
    """Of a run of three epochs of seven steps; dropout is off, as TRL turns it."""
    task = {"name": "dpo", "reference": reference, "quantization": None}
    lora = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.0, "target_modules": "all-linear"}
    usual = {"num_train_epochs": 3.0, "gradient_accumulation_steps": 1, "peft": lora, "save_steps": 3}
    return usual | {"task": task, "data": pairs | {"format": PROMPTED_CHAT.name}} | changes
