"""A recording as plain JSON values, in columns; `finefit.nouns.recording` reads it."""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from .quantized import hidden_tensors, is_quantized
from .recorder import Recorder
from .stage import blocks_of


def _count(module: nn.Module, trained: bool = False) -> int:
    return sum(_elements(p) for p in module.parameters() if p.requires_grad or not trained)


def _elements(parameter: nn.Parameter) -> int:
    """Of the weight itself, also where two of its elements share a byte."""
    state = getattr(parameter, "quant_state", None)
    return parameter.numel() if state is None else math.prod(state.shape)


def recording_json(recorder: Recorder, model: nn.Module, reference: nn.Module | None = None) -> dict[str, Any]:
    """Parameters are the model's own; those of a frozen copy of it are not counted again."""
    names: dict[tuple[str, str, str, str], int] = {}
    kinds = []
    for each in (model, *([] if reference is None else [reference])):
        _name_quantized(recorder, each)
    for birth in recorder.births:
        name = (birth.category, birth.phase, birth.module, birth.op)
        kinds.append(names.setdefault(name, len(names)))
    return {
        "blocks": len(blocks_of(model)),
        "nbytes": [birth.nbytes for birth in recorder.births],
        "kinds": kinds,
        "block_of": [birth.block for birth in recorder.births],
        "kind_names": [list(name) for name in names],
        "events": recorder.events,
        "marks": [[position, label] for position, label in recorder.marks],
        "parameters": _count(model),
        "trainable_parameters": _count(model, trained=True),
    }


def _name_quantized(recorder: Recorder, model: nn.Module) -> None:
    """`packed` weights and their `statistics`: how they were loaded is in `finefit.estimate.load`."""
    for module in model.modules():
        if is_quantized(module):
            recorder.rename([module.weight], "packed")  # type: ignore[list-item]
            recorder.rename(hidden_tensors(module), "statistics")
