"""A folder of receipts becomes lines in tests/receipts, each with what is predicted for the card it was measured on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from finefit.catalog.gpus import gpu_named
from finefit.errors import BadInput
from finefit.nouns.machine import Gpu, Machine

from . import predictions
from .points import Point
from .receipts import Receipt, read, store
from .tiny import tiny, tiny_model


def collect(folder: Path) -> list[Path]:
    """Measured and failed points; a failed one has the versions of the measured ones beside it."""
    found = read(folder).values()
    measured = [one for one in found if "measured" in one]
    if not measured:
        return []
    known = predictions.read()
    failed = [one | {"stack": measured[0]["stack"]} for one in found if "failed" in one]
    return store([one | {"predicted": _said_of(one, known)} for one in [*measured, *failed]])


def _said_of(receipt: Receipt, known: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What cannot be predicted is said so, and why; the others are not lost for it."""
    try:
        return prediction_for(receipt, known)
    except Exception as error:  # of torch, transformers, TRL, PEFT, or ours
        return {"failed": f"{type(error).__name__}: {error}".splitlines()[0]}


def prediction_for(receipt: Receipt, known: dict[str, dict[str, Any]] | None = None) -> dict[str, Any]:
    """Computed, unless it is among those `known` for the reference card and the receipt is of such a card."""
    from .predict import predicted

    point, machine = Point(**receipt["point"]), machine_of(receipt)
    if machine.is_cpu:
        return predicted(tiny(point), machine, tiny_model(point.model))
    if known and machine.name == predictions.REFERENCE_GPU and point.id in known:
        return known[point.id] | {"stack": predictions.stack()}
    return predicted(point, machine)


def machine_of(receipt: Receipt) -> Machine:
    """The card as the catalogue knows it, or as it said itself."""
    stack = receipt["stack"]
    if receipt["device"] == "cpu":
        return Machine(None)
    capability = (stack["compute_capability"][0], stack["compute_capability"][1])
    try:
        return Machine(gpu_named(stack["torch_gpu"]))
    except BadInput:
        return Machine(Gpu(stack["torch_gpu"], stack["torch_total_bytes"], capability))
