"""What is trained: a closed union, matched with `assert_never`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, assert_never


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
    use_dora: bool = False
    # what a weight adds up to has a length that is trained apart, output by output
    use_rslora: bool = False
    # alpha is divided by the rank's root


@dataclass(frozen=True)
class QLoRA:
    """Adapters beside frozen weights that bitsandbytes keeps in 4 or 8 bits."""

    bits: Literal[4, 8] = 4
    r: int = 16
    alpha: int = 32
    dropout: float = 0.0
    target_modules: str | tuple[str, ...] = "all-linear"
    quant_type: Literal["nf4", "fp4"] = "nf4"
    double_quant: bool = True
    use_dora: bool = False
    use_rslora: bool = False


Method = Full | LoRA | QLoRA


def name_of(method: Method) -> str:
    match method:
        case Full():
            return "full"
        case LoRA():
            return "lora"
        case QLoRA():
            return f"qlora{method.bits}"
        case _:
            assert_never(method)
