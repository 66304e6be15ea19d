"""The engine that a plan's knobs mean on a machine, and the step that each of its ranks rehearses."""

from __future__ import annotations

from dataclasses import replace

from finefit.catalog.deepspeed import auto_buckets
from finefit.errors import BadInput, Problem
from finefit.nouns.engine import DDP, FSDP1, FSDP2, DeepSpeed, Engine, is_plain
from finefit.nouns.knobs import Dtype, Knobs, MixedPrecision
from finefit.nouns.loop import Loop
from finefit.nouns.machine import Machine
from finefit.nouns.method import Full, Method
from finefit.nouns.model import Model

HALF: dict[MixedPrecision, Dtype] = {"bf16": "bfloat16", "fp16": "float16"}
REHEARSED_OPTIM = "adamw_torch_fused"
"""Whatever optimizer it is: an engine steps parts that no rank alone has, so what is recorded of it is not used."""

DORA_READS = "DoRA reads each weight after its layer has run, when ZeRO 3 has put it away again"
INSTEAD_OF_ZERO3 = "fsdp, zero_stage 2, or plain LoRA"
"""PEFT 0.21, tuners/lora/dora.py, `forward`. DeepSpeed 0.19 gathers a whole weight a second time, whose time is not
modelled, and fails at a packed one (no attribute `ds_status`). FSDP2 puts weights away layer by layer of the model."""


def refuse_undivided(method: Method, knobs: Knobs) -> None:
    """Raises `BadInput` where an engine would divide what the method reads whole."""
    if knobs.zero_stage == 3 and not isinstance(method, Full) and method.use_dora:
        what = "use_dora does not go with ZeRO 3"
        raise BadInput(Problem(what, where="use_dora", why=DORA_READS, hint=INSTEAD_OF_ZERO3))


def engine_for(knobs: Knobs, machine: Machine, model: Model) -> Engine | None:
    """None: one GPU, and no engine."""
    ranks = machine.count
    if knobs.fsdp:
        return FSDP2(ranks, offload=knobs.offload != "none")
    if knobs.zero_stage is not None:
        buckets = auto_buckets(model.hidden_size or 0, knobs.zero_stage)
        return DeepSpeed(ranks, knobs.zero_stage, knobs.offload, buckets)
    return DDP(ranks) if ranks > 1 else None


def of_one_rank(engine: Engine | None, knobs: Knobs, loop: Loop) -> tuple[Knobs, Loop]:
    """DeepSpeed and FSDP2 compute in the half that a run is mixed with, and every parameter has it: no autocast, and
    what PEFT made float32 is so no longer (deepspeed engine.py: _cast_module_mixed_precision; FSDP2's param_dtype)."""
    if is_plain(engine):
        return knobs, loop
    dtype = HALF.get(knobs.mixed_precision, knobs.dtype)
    plain = replace(loop, adapter_dtype=dtype, kbit_preparation=False)
    if isinstance(engine, FSDP1):  # accelerate leaves autocast on (accelerator.py: native_amp)
        return replace(knobs, dtype=dtype, optim=REHEARSED_OPTIM), plain if engine.mixed else loop
    return replace(knobs, dtype=dtype, mixed_precision="no", optim=REHEARSED_OPTIM), plain
