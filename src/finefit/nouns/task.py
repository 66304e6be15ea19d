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


ROWS = SFT()

Reference = Literal["adapter_off", "model", "precomputed"]
"""Who says how likely an answer was before training: the trained model with its adapters off; a frozen copy beside it;
the rows, which were asked for it once."""


@dataclass(frozen=True)
class DPO:
    """Trained to prefer one of two answers to a prompt: a row is two sequences."""

    reference: Reference
    reference_bits: Literal[4, 8] | None = None
    # of a frozen copy, by bitsandbytes; None: as the weights are that are trained, or have adapters


SHORTEST_PAIR = 3
"""Tokens of a row of preferences: of the prompt one, of the longer answer two, and one of the other."""


@dataclass(frozen=True)
class Generate:
    """Answers prompts of one length, with the likeliest tokens; the names are transformers'."""

    max_new_tokens: int = 128
    # written after the prompt; nothing ends an answer earlier
    num_beams: int = 1
    cache: Cache = "dynamic"
    base: bool = False
    # without the method's adapters


Training = SFT | DPO
Task = Training | Generate


def name_of(task: Task) -> str:
    match task:
        case SFT():
            return "sft"
        case DPO():
            return "dpo"
        case Generate():
            return "generate"
        case _:
            assert_never(task)


def sequences_of(task: Task) -> int:
    """Of one row of a batch."""
    return 2 if isinstance(task, DPO) else 1


def passes_of(task: Task) -> int:
    """Of a micro-batch that is trained on, all that read every weight: forward, that of a reference, backward."""
    return 3 if isinstance(task, DPO) and task.reference != "precomputed" else 2
