"""What the allocator makes of recipes, over what is allocated: the figures of `search/usual.py`, some minutes long.

    python benchmarks/matrix_ratios.py

Prints for each way of training, beside adapters and of the whole model: how many recipes, and the least, the middle and
the largest part of what is allocated that a device may show without what is there before any tensor.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from finefit.api import estimate, method_of
from finefit.estimate.reserved import beside_tensors
from finefit.nouns.job import Job, MethodName
from finefit.nouns.knobs import Checkpointing
from finefit.nouns.method import Full
from finefit.nouns.model import Model
from finefit.search.candidates import Asked
from finefit.search.usual import kind_of
from finefit.world.gpus import machine_named
from finefit.world.models import find_model

MODELS = ("llama-3.1-8b", "llama-3.2-3b")
"""Whose tapes for engines that divide are shipped."""
METHODS: tuple[MethodName, ...] = ("lora", "full", "qlora4")
ENGINES: tuple[dict[str, Any], ...] = (
    {},
    *({"zero_stage": stage} for stage in (1, 2, 3)),
    {"fsdp": True},
    {"zero_stage": 2, "offload": "optimizer"},
    {"zero_stage": 3, "offload": "all"},
)
SEVERAL = 4


def recipes(model: Model) -> Iterator[tuple[Job, int, Checkpointing]]:
    shapes: tuple[tuple[int, Checkpointing], ...] = ((1, "all"), (2, model.layers // 2), (4, 0), (4, "all"))
    for method in METHODS:
        for engine in ENGINES if method != "qlora4" else ENGINES[:1]:
            for count in (1, SEVERAL) if not engine or "offload" in engine else (SEVERAL,):
                gpu = f"{count}xH200" if count > 1 else "H200"
                for size, shape in shapes:
                    batch = 2 * size * count
                    yield (
                        Job(model.id, "", method=method, gpu=gpu, max_length=2048, global_batch_size=batch, **engine),
                        size,
                        shape,
                    )


def ratio(job: Job, size: int, shape: Checkpointing, model: Model) -> tuple[tuple[bool, str], float]:
    machine = machine_named(job.gpu)
    asked = Asked(replace(job), method_of(job), model, machine)
    knobs, engine = asked.knobs(size, shape)
    found = estimate(job.model, method=asked.method, knobs=knobs, gpu=job.gpu, probes=False)
    assert machine.gpu is not None
    assert found.ledger.device is not None
    beside = beside_tensors(machine.gpu, engine).high
    name = isinstance(asked.method, Full), kind_of(engine)
    return name, (found.ledger.device.high - beside) / found.ledger.peak_bytes


def main() -> None:
    os.environ["FINEFIT_CALIBRATION"] = "off"  # the catalogue's cards, not this machine's own
    found: dict[tuple[bool, str], list[float]] = {}
    for model in map(find_model, MODELS):
        for job, size, shape in recipes(model):
            name, value = ratio(job, size, shape, model)
            found.setdefault(name, []).append(value)
    for (is_full, kind), values in found.items():
        ordered = sorted(values)
        figures = ", ".join(f"{value:.2f}" for value in (ordered[0], ordered[len(ordered) // 2], ordered[-1]))
        print(f"{'full' if is_full else 'adapters':9s} {kind:18s} {len(values):3d}: {figures}")


if __name__ == "__main__":
    main()
