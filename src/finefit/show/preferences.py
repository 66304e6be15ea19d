"""A model that is trained on preferences, in words and for JSON."""

from __future__ import annotations

from typing import Any, assert_never

from finefit.nouns.estimate import Estimate
from finefit.nouns.knobs import Knobs
from finefit.nouns.task import DPO, Task

from .words import method_words

PACKED = ", packed and joined"


def heading(estimate: Estimate) -> str:
    words = method_words(estimate.method)
    return f"DPO: {words}" if isinstance(estimate.task, DPO) else words


def batch_words(task: Task, knobs: Knobs) -> str:
    pairs = " pairs of answers, each of" if isinstance(task, DPO) else " ×"
    each = f"{knobs.per_device_train_batch_size}{pairs} {knobs.max_length} tokens{PACKED if knobs.packing else ''}"
    return f"{each}, {knobs.gradient_accumulation_steps} micro-batches a step"


def facts(task: Task) -> dict[str, str]:
    return {"reference": reference_words(task)} if isinstance(task, DPO) else {}


def reference_words(task: DPO) -> str:
    match task.reference:
        case "adapter_off":
            return "the model itself, its adapters off"
        case "precomputed":
            return "precomputed: rows say what it says of them"
        case "model":
            bits = "" if task.reference_bits is None else f", in {task.reference_bits} bits"
            return f"a frozen copy of the model{bits}"
        case _:
            assert_never(task.reference)


def recipe(task: Task) -> dict[str, Any]:
    """Null where another task compares nothing."""
    return vars(task) if isinstance(task, DPO) else {"reference": None, "reference_bits": None}
