"""Which points this machine can measure, and why not the others.

With TRL and datasets every point runs through finefit's own trainer. Without them transformers' trainer runs the same
step for whole rows and whole logits, which needs the same memory (`finefit.worker.plain_trainer`); the rest waits.
Without bitsandbytes nothing that it quantises or optimises is measured. `wheels.py` brings all three.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from finefit.nouns.machine import Machine
from finefit.units import GIB
from finefit.world.gpus import machine_named

from .points import Point

LIBRARIES = ("trl", "datasets", "bitsandbytes", "peft")


@dataclass(frozen=True)
class Here:
    machine: Machine
    libraries: frozenset[str]
    # of LIBRARIES, those installed

    @property
    def with_trl(self) -> bool:
        return {"trl", "datasets"} <= self.libraries


def here(device: str) -> Here:
    """This machine; `device` is `cuda` or `cpu`."""
    machine = machine_named("auto" if device == "cuda" else "cpu")
    return Here(machine, frozenset(name for name in LIBRARIES if find_spec(name)))


def why_not(point: Point, place: Here, predicted: Mapping[str, Any] | None) -> str | None:
    """None where the point can be measured."""
    if "peft" not in place.libraries:
        return "PEFT is not installed"
    if (point.method.startswith("qlora") or "8bit" in point.optim) and "bitsandbytes" not in place.libraries:
        return "bitsandbytes is not installed"
    if not place.with_trl and (point.loss, point.rows) != ("full", "whole"):
        return "TRL is not installed: without it only whole rows and whole logits are measured"
    gpu = place.machine.gpu
    if gpu is not None and not gpu.native_bf16 and point.precision != "fp32":
        return f"{gpu.name} does not calculate in bfloat16"
    if gpu is not None and predicted and predicted["allocated_bytes"] > gpu.vram_bytes:
        needed, held = predicted["allocated_bytes"] / GIB, gpu.vram_bytes / GIB
        return f"predicted not to fit: {needed:.1f} GiB allocated, {gpu.name} has {held:.1f}"
    return None
