"""A model that is trained on preferences, in words and for JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

from finefit.nouns.knobs import Knobs
from finefit.nouns.method import Method
from finefit.nouns.task import DPO, Task
from finefit.units import counted

from .words import method_words

if TYPE_CHECKING:
    from finefit.nouns.receipt import Receipt

PACKED = ", packed and joined"


def heading(task: Task, method: Method) -> str:
    words = method_words(method)
    return f"DPO: {words}" if isinstance(task, DPO) else words


def rows_words(task: Task) -> str:
    return "pairs" if isinstance(task, DPO) else "sequences"


def preferred_words(receipt: Receipt) -> str:
    """Before training no answer is more likely than the reference says."""
    right = receipt.preferred
    return "" if right is None else f"{right:.0%} of the held-out pairs, by what has become more likely"


def batch_words(task: Task, knobs: Knobs) -> str:
    size = knobs.per_device_train_batch_size
    rows = f"{counted(size, 'pair', 'pairs')} of answers, each of" if isinstance(task, DPO) else f"{size} ×"
    a_step = counted(knobs.gradient_accumulation_steps, "micro-batch", "micro-batches")
    return f"{rows} {knobs.max_length} tokens{PACKED if knobs.packing else ''}, {a_step} a step"


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
