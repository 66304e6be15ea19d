"""What a model is worked with for: a closed union, matched with `assert_never`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, assert_never

Cache = Literal["dynamic", "fp8", "static"]
"""Of keys and values, in transformers' words: one that grows with every token; the same in 8 bits (`quantized`, whose
backend is `fp8`); one as long as the whole answer from the beginning, which is not compiled."""


@dataclass(frozen=True)
class SFT:
    """Trained on what rows say."""


@dataclass(frozen=True)
class Generate:
    """Answers prompts of one length, with the likeliest tokens; the names are transformers'."""

    max_new_tokens: int = 512
    # written after the prompt; nothing ends an answer earlier
    num_beams: int = 1
    cache: Cache = "dynamic"
    base: bool = False
    # without the method's adapters


Task = SFT | Generate


def name_of(task: Task) -> str:
    match task:
        case SFT():
            return "sft"
        case Generate():
            return "generate"
        case _:
            assert_never(task)
