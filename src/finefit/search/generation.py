"""What a model writes with: the weights' dtype, and which of a method's parts are there."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from finefit.nouns.job import Job
from finefit.nouns.knobs import Dtype, Knobs
from finefit.nouns.machine import Machine
from finefit.nouns.method import Full, LoRA, Method, QLoRA
from finefit.nouns.model import Model
from finefit.nouns.packed import packed_in
from finefit.nouns.task import Generate

from .packed import beside_packed, to_run


def knobs_to_write(job: Job, prompt: int, machine: Machine) -> Knobs:
    """Nothing is trained, so all weights may be in half precision, in the one that the GPU computes in."""
    dtype: Dtype = "float32" if machine.gpu is None else "bfloat16" if machine.gpu.native_bf16 else "float16"
    return Knobs(
        max_length=prompt,
        per_device_train_batch_size=job.per_device_train_batch_size or 1,
        gradient_checkpointing=0,
        dtype=job.dtype or dtype,
        mixed_precision="no",
        attn_implementation=job.attn_implementation or "sdpa",
        expandable_segments=bool(job.expandable_segments),
    )


def parts_to_write(method: Method, task: Generate, model: Model) -> tuple[Method, Generate, tuple[str, ...]]:
    """The method, full where it has no adapters and packs nothing; the task, which says whether there are adapters; and
    what a checkpoint that is quantised already changed. Raises `BadInput` where they do not go together."""
    match method:
        case Full() if packed_in(model) is not None:
            return to_run(model), replace(task, base=True), ()
        case Full():
            return method, replace(task, base=True), ()
        case LoRA() | QLoRA():
            method, agreed = beside_packed(method, model)
            return (Full() if task.base and isinstance(method, LoRA) else method), task, agreed
        case _:
            assert_never(method)
