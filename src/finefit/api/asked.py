"""What a job's words are as nouns."""

from __future__ import annotations

from typing import Any, assert_never

from finefit.catalog.clouds import machines_with
from finefit.nouns.images import Images
from finefit.nouns.job import Job
from finefit.nouns.machine import Machine
from finefit.nouns.method import Full, LoRA, Method, QLoRA
from finefit.nouns.task import Generate
from finefit.world import calibrations
from finefit.world.gpus import machine_named

REFERENCE_GPU = "A100-80GB"
"""Where an estimate names no GPU and none is here."""
BOARD = 8
"""GPUs that a machine commonly holds at most; a cloud may have a larger one."""


def method_of(job: Job) -> Method:
    adapters: dict[str, Any] = {
        "r": job.lora_r,
        "alpha": job.lora_alpha,
        "dropout": job.lora_dropout,
        "target_modules": job.lora_target_modules,
        "use_dora": job.use_dora,
        "use_rslora": job.use_rslora,
    }
    match job.method:
        case "full":
            return Full()
        case "lora":
            return LoRA(**adapters)
        case "qlora4" | "qlora8":
            return QLoRA(
                bits=4 if job.method == "qlora4" else 8,
                quant_type=job.bnb_4bit_quant_type,
                double_quant=job.bnb_4bit_use_double_quant,
                **adapters,
            )
        case _:
            assert_never(job.method)


def images_of(job: Job) -> Images | None:
    """Those of every row; None where rows show none."""
    if job.image_size is None:
        return None
    width, height = map(int, job.image_size.split("x"))
    return Images(width, height, job.images)


def answer_of(job: Job) -> Generate:
    return Generate(job.max_new_tokens, job.num_beams, job.cache_implementation, job.base)


def machine_or_reference(gpu: str) -> tuple[Machine, tuple[str, ...]]:
    machine = machine_named(gpu)
    if gpu == "auto" and machine.is_cpu:
        here = f"no GPU is here: computed for {REFERENCE_GPU}; name yours with --gpu"
        machine = machine_named(REFERENCE_GPU)
        return machine, (here, *_trouble(machine))
    return machine, _trouble(machine)


def _trouble(machine: Machine) -> tuple[str, ...]:
    """With what was measured of its cards, and with links that are not known."""
    if machine.gpu is None:
        return ()
    trouble = calibrations.trouble(machine.gpu.name)
    if machine.count <= BOARD or machines_with(machine.gpu.name, machine.count):
        return trouble
    return (*trouble, f"{machine.count} GPUs are timed as if one machine held them; links between machines are slower")
