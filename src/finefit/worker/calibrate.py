"""A calibration: what this machine's device does, measured in about a minute, a figure after another.

Orders: `device` (cuda, cpu), `seconds` of a figure, `lasting` seconds of one product, `events`: where progress is told.
Knows: matrix products, the memory's rate, the start of kernels; on a GPU its context and the host's link, on several
the way between them. Does not know: NCCL's own operations; how a card slows down in hours.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from finefit.catalog.libraries import installed
from finefit.errors import BadInput, Problem
from finefit.nouns.calibration import Figure

from . import driver
from .allocator_stage import CudaCounters
from .calibration.clock import Clock, figure
from .calibration.moving import between, from_host, moving
from .calibration.products import lasting, products
from .calibration.starting import starting
from .events import Events
from .measure import open_card, quiet

LIBRARIES = ("torch", "transformers", "peft")


def main(orders_path: str, out_path: str) -> None:
    """Writes {device, versions, figures}. Raises `BadInput`."""
    orders = json.loads(Path(orders_path).read_text())
    say = Events(Path(orders["events"])).note
    on_gpu = orders["device"] == "cuda"
    if on_gpu and not torch.cuda.is_available():
        why = f"torch {torch.__version__} has no CUDA, or none that goes with the driver"
        raise BadInput(Problem("torch cannot use this machine's GPU", why=why, hint="a CUDA build of torch; --gpu cpu"))
    figures = list((_on_gpu if on_gpu else _anywhere)(orders, say))
    answer = {
        "device": torch.cuda.get_device_name(0) if on_gpu else "cpu",
        "versions": _versions(on_gpu),
        "figures": [asdict(one) for one in figures],
    }
    Path(out_path).write_text(json.dumps(answer))


def _anywhere(orders: dict[str, Any], say: Callable[[str], None]) -> Iterator[Figure]:
    clock = Clock(orders["device"], orders["seconds"])
    timed = list(products(clock, say))
    yield from (one.figure for one in timed)
    say("the fastest of them, until the device has found its clock")
    yield lasting(clock, timed, orders["lasting"])
    say("the memory's rate")
    yield from moving(clock)
    say("the start of kernels")
    yield from starting(clock)


def _on_gpu(orders: dict[str, Any], say: Callable[[str], None]) -> Iterator[Figure]:
    """The context first and last, before other cards are touched, whose drivers' parts would come to it."""
    before = driver.device_used()
    open_card()
    counters = CudaCounters()
    alone = _context(counters, before)
    yield from _anywhere(orders, say)
    torch.cuda.empty_cache()
    yield from _contexts(alone, _context(counters, before))
    say("links")
    yield from_host(Clock("cuda", orders["seconds"]))
    if torch.cuda.device_count() > 1:
        yield between(torch.cuda.device_count())


def _context(counters: CudaCounters, before: int | None) -> tuple[int, str] | None:
    """What is there beside the allocator's memory, by the driver's number for this process, else by what the whole card
    shows more than before; None where the driver says neither."""
    found = quiet(counters)
    process, used = found["context_bytes"], found["used_after_bytes"]
    if process is not None:
        return process, "of this process, by NVML"
    reserved = found["reserved_after_bytes"]
    if before is None or used is None or reserved is None:
        return None
    return used - before - reserved, "of the whole card, by NVML, before and after"


def _contexts(alone: tuple[int, str] | None, after: tuple[int, str] | None) -> Iterator[Figure]:
    """Neither, where another process on the card spoilt one of them."""
    if alone is None or after is None or not 0 < alone[0] <= after[0]:
        return
    yield figure("context alone", alone[1], "bytes", [alone[0]])
    yield figure("context", after[1], "bytes", [after[0]])


def _versions(on_gpu: bool) -> dict[str, str]:
    found = {"python": platform.python_version(), **installed(LIBRARIES)}
    if on_gpu:
        told = {"cuda": torch.version.cuda, "driver": driver.facts()["driver"]}
        found |= {name: str(version) for name, version in told.items() if version}
    return found
