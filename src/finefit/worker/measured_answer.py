"""A measurement of an answer: transformers' own `generate` on random weights, with the memory that it took.

Orders are those of a rehearsed answer, with `point`: rows, tokens of each prompt, and how many are written. On the
processor the recorder goes along; on a GPU the allocator's counters are read, of loading and of all that is written.

Knows: allocated and reserved bytes. Does not know: which token was written at the peak, on a GPU; seconds.
"""

from __future__ import annotations

from typing import Any

import torch

from .allocator_stage import CudaCounters
from .generation import prompt_of, words_of, writer
from .generation_stage import GenerationStage
from .random_weights import random_model
from .recorder import Recorder
from .written import recording_json


def on_processor(orders: dict[str, Any]) -> dict[str, Any]:
    model = _model(orders)
    stage = GenerationStage(Recorder(), model)
    prompt = prompt_of(orders["point"])
    stage.open(prompt.values())
    _write(model, prompt, orders)
    del prompt
    stage.close()
    return {"measured_by": "recorder", "recording": recording_json(stage.recorder, model)}


def on_gpu(orders: dict[str, Any], counters: CudaCounters) -> dict[str, Any]:
    found: dict[str, Any] = {"measured_by": "allocator", "out_of_memory": None}
    phases: dict[str, int] = {}
    try:
        model = _model(orders)
        phases["load"] = counters.allocated_peak()
        counters.reset()
        _write(
            model, {name: tensor.to(orders["device"]) for name, tensor in prompt_of(orders["point"]).items()}, orders
        )
    except torch.OutOfMemoryError as error:
        found["out_of_memory"] = str(error).strip().splitlines()[0]
    if phases:
        phases["writing"] = counters.allocated_peak()
    return found | {"phases": phases, "reserved_bytes": counters.reserved_peak()}


def _model(orders: dict[str, Any]) -> Any:
    torch.manual_seed(0)
    return writer(random_model(orders["model"], orders["device"]), orders)


def _write(model: Any, prompt: dict[str, torch.Tensor], orders: dict[str, Any]) -> None:
    _, length, new = orders["point"]
    written = model.generate(**prompt, **words_of(orders["generation"]["task"], orders["point"]))
    assert written.shape[1] == length + new, "something ended the answer early"
