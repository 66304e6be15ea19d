"""What is trained: a closed union, matched with `assert_never`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Full:
    """Every weight."""


@dataclass(frozen=True)
class LoRA:
    """Low-rank adapters beside frozen weights; PEFT's names and defaults of TRL."""

    r: int = 16
    alpha: int = 32
    dropout: float = 0.0
    target_modules: str | tuple[str, ...] = "all-linear"


Method = Full | LoRA


def name_of(method: Method) -> str:
    return {Full: "full", LoRA: "lora"}[type(method)]
