"""How an answer is written: transformers' names. What is None, the model's own generation config says."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Sampling:
    max_new_tokens: int = 128
    temperature: float | None = 0.0
    # 0: always the likeliest token
    top_p: float | None = None
    top_k: int | None = None
    repetition_penalty: float | None = None
    seed: int = 0

    def lower(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Answer:
    text: str
    tokens: int
    seconds: float = 0.0
    was_stopped: bool = False


@dataclass(frozen=True)
class AnsweredFile:
    """A file of answers."""

    output: str
    rows: int
    tokens: int
    seconds: float
    # of this process: what was answered before costs nothing
