"""What a search may turn, beside how many layers are checkpointed: micro-batch, engine, offload, method.

The global batch and the mathematics are the job's own: micro-batch × accumulation × GPUs always multiply to it. What a
job pins has one value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from finefit.nouns.job import Job, MethodName
from finefit.nouns.machine import Machine

from .preferences import Divider, task_of, why_not

METHODS: tuple[MethodName, ...] = ("full", "lora", "qlora4")
"""From what learns most to what needs least."""
LARGEST_MICRO_BATCH = 64
"""Beyond it a step is no faster: kernels are long enough."""


def micro_batches(job: Job, ranks: int) -> list[int]:
    """Every one that divides a GPU's part of the global batch."""
    if job.per_device_train_batch_size is not None:
        return [job.per_device_train_batch_size]
    each = job.global_batch_size // ranks
    if job.gradient_accumulation_steps is not None:
        return [each // job.gradient_accumulation_steps]
    return [size for size in range(1, min(each, LARGEST_MICRO_BATCH) + 1) if each % size == 0]


def engines(job: Job, machine: Machine, *, shows: bool = False) -> Iterator[tuple[str, list[Job]]]:
    """Groups of jobs, each with its engine pinned: a later group is asked only where none of an earlier one fits, since
    what it offloads makes every step wait for the host. `shows`: the job's rows show images."""
    plain = [job] if _is_pinned(job) else list(_without_offload(job, machine, shows))
    if job.offload is not None or job.fsdp or job.zero_stage is not None:
        yield "as pinned", plain
        return
    yield "on the GPUs" if machine.count > 1 else "on the GPU", plain
    yield "with the optimizer's state in host memory", [replace(job, zero_stage=2, offload="optimizer")]
    if takes_stage_3(job):
        yield "with parameters in host memory", [replace(job, zero_stage=3, offload="all")]


def takes_stage_3(job: Job) -> bool:
    """bitsandbytes keeps 8-bit weights whole, and DoRA reads weights whole (`world/engine_rules.py`)."""
    reads_whole = job.use_dora and job.method != "full"
    return job.method != "qlora8" and not reads_whole and _goes_with(job, "zero_stage 3")


def takes_fsdp(job: Job, shows: bool) -> bool:
    """accelerate divides every block of a vision tower by itself, which is not modelled."""
    return job.method != "qlora8" and not shows and job.image_size is None and _goes_with(job, "fsdp")


def _is_pinned(job: Job) -> bool:
    return job.zero_stage is not None or job.fsdp


def _without_offload(job: Job, machine: Machine, shows: bool) -> Iterator[Job]:
    yield job
    if machine.count == 1:
        return
    yield replace(job, zero_stage=1)
    yield replace(job, zero_stage=2)
    if takes_stage_3(job):
        yield replace(job, zero_stage=3)
    if takes_fsdp(job, shows):
        yield replace(job, fsdp=True)


def _goes_with(job: Job, divider: Divider) -> bool:
    return not why_not(task_of(job), divider, is_packed=job.method.startswith("qlora"))
