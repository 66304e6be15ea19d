"""How long a point may take, so that points are packed into the minutes there are. Good for nothing else.

A guess until the first points are measured on a machine: then their own times scale it (`learned`).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from statistics import median
from typing import Any

from finefit.nouns.machine import Machine

from .points import PRECISIONS, STEPS, Point, model_of

START_SECONDS = 12.0
"""Starting Python and importing torch, transformers, TRL and PEFT: measured on two cores of a shared processor."""
REACHED = 0.25
"""Share of a card's nominal rate that a training step reaches. A guess."""
FLOPS = {"full": 6, "lora": 4, "qlora4": 4, "qlora8": 4}
"""For each parameter and token, forward and backward; frozen weights need no gradient of their own."""
RECOMPUTED = {"all": 2, "half": 1, "none": 0}
"""A second forward of what is checkpointed."""
NOMINAL_TFLOPS = 100.0
"""Of a card whose row in the catalogue has no rate."""


def seconds_of(point: Point, parameters: int, machine: Machine) -> float:
    float32 = PRECISIONS[point.precision] == ("float32", "no")
    rate = _tflops(machine, float32) * 1e12 * REACHED
    work = (FLOPS[point.method] + RECOMPUTED[point.checkpointed]) * parameters * point.tokens
    return START_SECONDS + STEPS * point.accumulation * work / rate


def learned(receipts: Sequence[Mapping[str, Any]]) -> float:
    """By how much the guess is to be multiplied here: the median of what was measured."""
    ratios = [one["seconds"] / one["guessed_seconds"] for one in receipts if one.get("guessed_seconds")]
    return median(ratios) if len(ratios) >= 3 else 1.0


def parameters_of(point: Point, predicted: Mapping[str, Any]) -> int:
    """As rehearsed; where that is not known, from the file sizes that the catalogue knows: 12 × layers × hidden²."""
    known = predicted.get(point.id)
    if known:
        return int(known["parameters"])
    model = model_of(point.model)
    return 12 * model.layers * (model.hidden_size or 0) ** 2


@cache
def _tflops(machine: Machine, float32: bool) -> float:
    text = (files("finefit.catalog") / "gpus.csv").read_text(encoding="utf-8")
    column = "fp32_tflops" if float32 else "bf16_tensor_dense_tflops"
    for row in csv.DictReader(text.splitlines()):
        if machine.gpu is not None and row["name"] == machine.gpu.name and row[column]:
            return float(row[column])
    return NOMINAL_TFLOPS
