"""The machine that a word means: `auto` (this one), `cpu`, a card by name, or several of them (`2xRTX4090`, `2xcpu`).

Knows: the first visible GPU of this machine and how many like it follow, through NVIDIA's management library, without
torch. Does not know: cards of other makers; a machine with cards of several kinds, of which the first kind is used.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import takewhile
from typing import Any

from finefit.catalog.gpus import BF16_SINCE, gpu_named
from finefit.errors import BadInput, Problem
from finefit.nouns.machine import Gpu, Machine
from finefit.units import GIB

from . import calibrations

SEVERAL = re.compile(r"(\d{1,9})\s*x\s*(\S.*)", re.IGNORECASE)
"""`2xRTX4090`; `2xcpu`: two processes of the processor"""


def machine_named(text: str) -> Machine:
    """With what is known of its cards from this machine itself."""
    machine = _named(text)
    return machine if machine.gpu is None else replace(machine, gpu=known_here(machine.gpu))


def known_here(gpu: Gpu) -> Gpu:
    return replace(gpu, here=calibrations.here(gpu.name))


def _named(text: str) -> Machine:
    match text.strip().lower():
        case "auto":
            return Machine(gpu_here(), count_here())
        case "cpu":
            return Machine(None)
    several = SEVERAL.fullmatch(text.strip())
    if several is None:
        return Machine(gpu_named(text))
    if int(several[1]) < 1:
        raise BadInput(Problem(f"'{text}' is no GPU", hint=several[2]))
    is_cpu = several[2].strip().lower() == "cpu"
    return Machine(None if is_cpu else gpu_named(several[2]), int(several[1]))


def refuse_absent(machine: Machine) -> None:
    """Where a GPU is asked for, and none is here, or more of them. Raises `BadInput`."""
    found = machine_named("auto")
    if machine.gpu is None or (found.gpu is not None and machine.count <= found.count):
        return
    if found.gpu is not None:
        why = f"{found.count} of one kind can be seen"
        raise BadInput(Problem(f"no {machine.name} are here", where="gpu", why=why, hint="gpu: auto"))
    why = "no NVIDIA driver answers, or CUDA_VISIBLE_DEVICES hides every GPU"
    hint = "the machine that has it; or gpu: cpu. `finefit plan` answers for a GPU that is elsewhere"
    raise BadInput(Problem(f"no {machine.gpu.name} is here", where="gpu", why=why, hint=hint))


def refuse_elsewhere(machine: Machine) -> None:
    """Where a plan would not be of the GPU that is here. Raises `BadInput`."""
    refuse_absent(machine)
    here = machine_named("auto").gpu
    if machine.gpu is None or here is None or here.name == machine.gpu.name:
        return
    why = f"the GPU of this machine is {here.name}, whose memory and speed are its own"
    raise BadInput(Problem(f"no {machine.gpu.name} is here", where="gpu", why=why, hint="gpu: auto"))


def gpu_here() -> Gpu | None:
    """The GPU that torch would take first; None where no NVIDIA driver answers or every GPU is hidden."""
    return next(_visible(), None)


def count_here() -> int:
    """GPUs from the first on that are alike; one where there is none: the processor."""
    found = list(_visible())
    return max(1, sum(1 for _ in takewhile(lambda gpu: gpu == found[0], found)))


def _visible() -> Iterator[Gpu]:
    """In torch's order, up to the first one that the driver does not know."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return
    try:
        for name in _names(pynvml):
            yield _gpu(pynvml, _handle(pynvml, name))
    except pynvml.NVMLError:
        return
    finally:
        pynvml.nvmlShutdown()


def _names(nvml: Any) -> list[str]:
    """NVML sees every GPU; torch sees those of CUDA_VISIBLE_DEVICES, which names them by number or by UUID."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return [str(number) for number in range(nvml.nvmlDeviceGetCount())]
    names = [name.strip() for name in visible.split(",")]
    return list(takewhile(lambda name: name not in ("", "-1"), names))


def _handle(nvml: Any, name: str) -> Any:
    return nvml.nvmlDeviceGetHandleByIndex(int(name)) if name.isdigit() else nvml.nvmlDeviceGetHandleByUUID(name)


def _gpu(nvml: Any, handle: Any) -> Gpu:
    memory = nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2)
    capability = tuple(nvml.nvmlDeviceGetCudaComputeCapability(handle))
    return Gpu(
        name=_catalog_name(str(nvml.nvmlDeviceGetName(handle)), int(memory.total)),
        vram_bytes=int(memory.total) - int(memory.reserved),  # the driver's share; torch's total lacks it too
        compute_capability=(capability[0], capability[1]),
        native_bf16=capability >= BF16_SINCE,
    )


def _catalog_name(name: str, nbytes: int) -> str:
    """Some cards are told apart by their memory alone."""
    for text in (name, f"{name} {round(nbytes / GIB)}GB"):
        with contextlib.suppress(BadInput):
            return gpu_named(text).name
    return name
