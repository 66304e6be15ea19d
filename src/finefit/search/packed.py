"""A method beside weights that a checkpoint holds quantised already: its own bits, type and double quantisation."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from finefit.errors import BadInput, Problem
from finefit.nouns.method import Full, LoRA, Method, QLoRA, name_of
from finefit.nouns.model import Model
from finefit.nouns.packed import Packed, packed_in


def beside_packed(method: Method, model: Model) -> tuple[Method, tuple[str, ...]]:
    """The method as the checkpoint makes it, and what it changed. Raises `BadInput` where it cannot be."""
    packed = packed_in(model)
    if packed is None:
        return method, ()
    match method:
        case Full() | LoRA():
            raise _refused(method, model, packed)
        case QLoRA():
            if method.bits != packed.bits:
                raise _refused(method, model, packed)
            return _as_packed(method, model, packed)
        case _:
            assert_never(method)


def to_run(model: Model) -> Method:
    """To generate with: nothing is trained."""
    packed = packed_in(model)
    return Full() if packed is None else _as_packed(QLoRA(bits=packed.bits), model, packed)[0]


def _as_packed(method: QLoRA, model: Model, packed: Packed) -> tuple[QLoRA, tuple[str, ...]]:
    if packed.bits == 8:
        return method, ()
    agreed = replace(method, quant_type=packed.quant_type, double_quant=packed.double_quant)
    if agreed == method:
        return method, ()
    return agreed, (f"{model.id} is quantised already, as {_words(packed)}: what the job says of that does not hold",)


def _words(packed: Packed) -> str:
    return f"{packed.quant_type} with{'' if packed.double_quant else 'out'} double quantisation"


def _refused(method: Method, model: Model, packed: Packed) -> BadInput:
    return BadInput(
        Problem(
            f"{name_of(method)} does not go with {model.id}",
            where="method",
            why=f"bitsandbytes has packed its weights in {packed.bits} bits, and they stay packed",
            hint=f"method qlora{packed.bits}, or the checkpoint that is not quantised",
        )
    )
