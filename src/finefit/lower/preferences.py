"""What the worker is told of a model that is trained on preferences, beside what it is told of any."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, assert_never

from finefit.nouns.knobs import Knobs
from finefit.nouns.method import Full, LoRA, Method, QLoRA
from finefit.nouns.model import Model
from finefit.nouns.packed import packed_in
from finefit.nouns.task import DPO, SFT, Training

from .orders import quantization_of


def task_orders(task: Training, model: Model, method: Method, knobs: Knobs) -> dict[str, Any]:
    """Nothing of rows: that is what orders mean that name no task."""
    match task:
        case SFT():
            return {}
        case DPO():
            quantization = quantization_of(_of_copy(task, method), knobs, packed_in(model))
            return {"task": {"name": "dpo", "reference": task.reference, "quantization": quantization}}
        case _:
            assert_never(task)


def _of_copy(task: DPO, method: Method) -> Method:
    """The method whose weights a frozen copy has; full where there is no copy."""
    if task.reference != "model":
        return Full()
    match method:
        case QLoRA():
            return method if task.reference_bits is None else replace(method, bits=task.reference_bits)
        case Full() | LoRA():
            return method if task.reference_bits is None else QLoRA(bits=task.reference_bits)
        case _:
            assert_never(method)
