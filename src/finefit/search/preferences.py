"""What preferences are compared with, where a job leaves it open, and whether the model can be trained on them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from finefit.errors import BadInput, Problem
from finefit.nouns.job import Job
from finefit.nouns.knobs import Knobs
from finefit.nouns.method import Full, Method, QLoRA
from finefit.nouns.model import Model
from finefit.nouns.packed import packed_in
from finefit.nouns.task import DPO, ROWS, Reference, Training


def task_of(job: Job) -> Training:
    """What is trained for. As TRL does: adapters are turned off; beside full fine-tuning stands a frozen copy."""
    if job.task != "dpo":
        return ROWS
    usual: Reference = "model" if job.method == "full" else "adapter_off"
    return DPO(job.reference or usual, job.reference_bits)


Divider = Literal["zero_stage 3", "fsdp"]
"""An engine that divides parameters too."""
NO_ENGINE_YET = "the reference is asked before training, of a model that each rank has whole"
WHOLE_COPY = "TRL makes one unit of the frozen copy (1.16, prepare_fsdp), so each GPU gathers all of it at once"
PACKED_COPY = "a packed copy that ZeRO 3 divides was never held against a real step"
INSTEAD = "zero_stage 2, or adapters (lora): turned off they are the reference"


def divider_of(given: Job | Knobs) -> Divider | None:
    return "fsdp" if given.fsdp else "zero_stage 3" if given.zero_stage == 3 else None


def why_not(task: Training, divider: Divider | None, *, is_packed: bool) -> str:
    """Its reference does not go with an engine; `is_packed`: the weights of a copy. Else nothing."""
    if not isinstance(task, DPO) or task.reference == "adapter_off" or divider is None:
        return ""
    if task.reference == "precomputed":
        return NO_ENGINE_YET
    return WHOLE_COPY if divider == "fsdp" else PACKED_COPY if is_packed or task.reference_bits else ""


def refuse_unproven(task: Training, method: Method, knobs: Knobs, model: Model) -> None:
    """Raises `BadInput` for what there is not, and for what no rehearsal was held against a real step of."""
    if isinstance(task, DPO):
        problems = list(_problems(task, method, knobs, model))
        if problems:
            raise BadInput(*problems)


def _problems(task: DPO, method: Method, knobs: Knobs, model: Model) -> Iterator[Problem]:
    packed = packed_in(model)
    if "vision_config" in model.config:
        why = "a tower beside two answers was never held against a real step"
        yield Problem(f"task dpo does not go with {model.id} yet", where="task", why=why, hint="task sft")
    if task.reference == "adapter_off" and isinstance(method, Full):
        yield Problem("there is no adapter to turn off", where="reference", hint="reference model, or precomputed")
    if task.reference_bits is not None and packed is not None and task.reference_bits != packed.bits:
        why = f"bitsandbytes has packed the weights of {model.id} in {packed.bits} bits, and they stay packed"
        yield Problem(
            "its copy has other bits", where="reference_bits", why=why, hint=f"{packed.bits}, or leave it out"
        )
    divider = divider_of(knobs)
    if why := why_not(task, divider, is_packed=isinstance(method, QLoRA)):
        what = f"reference {task.reference} does not go with {divider}"
        yield Problem(what, where="reference", why=why, hint=INSTEAD)
    if knobs.loss != "fused" or knobs.use_liger_kernel:
        why = "TRL's trainer of preferences has its own fused head; Liger's kernels beside it are not modelled"
        yield Problem("another loss does not go with task dpo", where="loss", why=why, hint="loss fused")


def supposed_of(task: Training) -> tuple[str, ...]:
    """What an estimate supposes."""
    if not isinstance(task, DPO):
        return ()
    alike = (
        "every row is as long as the longest: one token of prompt, and two answers that differ in one token's length"
    )
    return (alike, *before_training(task))


def before_training(task: Training) -> tuple[str, ...]:
    """What a run does first that no step shows."""
    if not isinstance(task, DPO) or task.reference != "precomputed":
        return ()
    return (
        "the pass before training, in which the reference is asked, takes less memory than a step: it keeps nothing; "
        "its time is not counted",
    )
