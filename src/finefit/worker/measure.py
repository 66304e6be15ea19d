"""A measurement: the real training step on random weights, with the memory that it took.

Orders are those of a rehearsal, and `steps`: how many optimizer steps are trained; or those of an answer
(`measured_answer.py`). On a GPU CUDA's allocator and the
driver are read; on the processor the recorder goes along, and finds to the byte what a rehearsal says.

Knows: allocated bytes phase by phase, reserved bytes, the driver's number before, beside and after, what the process
holds beyond reserved memory (context and libraries), and seconds a step. That memory ran out is a result.
Does not know: what reading weights from files, evaluating and saving would add.
"""

from __future__ import annotations

import importlib
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from finefit.catalog.libraries import LIBRARIES, installed

from . import driver
from .allocator_stage import AllocatorStage, CudaCounters
from .recorder import Recorder
from .stage import RecordedStage, Stage
from .synthetic import padding_tokenizer, rows_for
from .written import recording_json

COUNTERS = (
    "num_alloc_retries",
    "num_ooms",
    "num_device_alloc",
    "num_device_free",
    "segment.all.current",
    "inactive_split_bytes.all.current",
)
"""Of `torch.cuda.memory_stats()` at the end, where it has them; its peaks begin anew with every phase."""


def main(orders_path: str, out_path: str) -> None:
    """Reads orders, writes what was measured, or that the GPU's memory ran out. Where orders say `wait`, the libraries
    are loaded first and a line on stdin is waited for.
    """
    orders = json.loads(Path(orders_path).read_text())
    if orders.get("wait"):
        _load(orders)
        sys.stdin.readline()
    Path(out_path).write_text(json.dumps(measured(orders)))


def _load(orders: dict[str, Any]) -> None:
    """What takes seconds and no memory on the GPU."""
    importlib.import_module(".random_weights", __package__)
    importlib.import_module(".trainer" if orders["with_trl"] else ".plain_trainer", __package__)


def measured(orders: dict[str, Any]) -> dict[str, Any]:
    on_gpu = orders["device"] == "cuda"
    return (_on_gpu if on_gpu else _on_processor)(orders) | {"stack": _versions(on_gpu)}


def _on_processor(orders: dict[str, Any]) -> dict[str, Any]:
    if "generation" in orders:
        from .measured_answer import on_processor

        return on_processor(orders)
    stage = RecordedStage(Recorder())
    with _trainer(orders, stage) as trainer:
        trainer.train()
        return {"measured_by": "recorder", "recording": recording_json(stage.recorder, trainer.model)}


def _on_gpu(orders: dict[str, Any]) -> dict[str, Any]:
    device: dict[str, int | None] = {"used_before_bytes": driver.device_used()}
    open_card()
    counters = CudaCounters()
    device["process_first_bytes"] = counters.device_bytes()
    if "generation" in orders:
        from .measured_answer import on_gpu

        return on_gpu(orders, counters) | {"device": device | quiet(counters)}
    stage = TimedStage(counters)
    found: dict[str, Any] = {"measured_by": "allocator", "out_of_memory": None}
    started = time.perf_counter()
    try:
        with _trainer(orders, stage) as trainer:
            found["build_seconds"] = time.perf_counter() - started
            found["loss"] = trainer.train().training_loss
            device |= quiet(counters)
    except torch.OutOfMemoryError as error:
        found["out_of_memory"] = str(error).strip().splitlines()[0]
        device |= {"used_after_bytes": driver.device_used()}
    statistic = torch.cuda.memory_stats()
    found |= {key: value for key, value in stage.measured().items() if key != "kind"}
    return found | {
        "reserved_at_start_bytes": stage.reserved_at_start,
        "device": device | {"used_peak_bytes": stage.used_peak},
        "counters": {name: statistic[name] for name in COUNTERS if name in statistic},
        "step_seconds": _summary(stage.seconds),
    }


def open_card() -> None:
    """The context comes with the first tensor."""
    torch.zeros(1, device="cuda")
    torch.cuda.synchronize()


def quiet(counters: CudaCounters) -> dict[str, int | None]:
    """When nothing runs: what the process holds beyond the allocator's memory is its context and its libraries."""
    torch.cuda.synchronize()
    reserved, process = torch.cuda.memory_reserved(), counters.device_bytes()
    return {
        "process_after_bytes": process,
        "reserved_after_bytes": reserved,
        "used_after_bytes": driver.device_used(),
        "context_bytes": None if process is None else process - reserved,
    }


class TimedStage(AllocatorStage):
    """Reads the clock and the driver as well, at the end of every step."""

    def __init__(self, counters: CudaCounters) -> None:
        super().__init__(counters)
        self.seconds: list[float] = []
        self.used_peak: int | None = None
        self.reserved_at_start = 0
        self._since = 0.0

    def begin(self, trainer: Any) -> None:
        super().begin(trainer)
        torch.cuda.synchronize()
        self.reserved_at_start = torch.cuda.memory_reserved()
        self._since = time.perf_counter()

    def end_step(self, trainer: Any) -> None:
        torch.cuda.synchronize()
        self.seconds.append(time.perf_counter() - self._since)
        super().end_step(trainer)
        used = driver.device_used()
        self.used_peak = self.used_peak if used is None else max(self.used_peak or 0, used)
        self._since = time.perf_counter()


def _summary(seconds: list[float]) -> dict[str, Any]:
    """The first step loads kernels and makes the optimizer's state; the others are alike."""
    steady = seconds[1:]
    return {"first": seconds[0] if seconds else None, "median": statistics.median(steady) if steady else None}


@contextmanager
def _trainer(orders: dict[str, Any], stage: Stage) -> Iterator[Any]:
    """Built as a run's is: model, adapter, trainer, casts, checkpoints."""
    from .build import add_adapter, cast_adapters, checkpoint_blocks, tower_of
    from .random_weights import random_model

    torch.manual_seed(0)
    model = add_adapter(random_model(orders["model"], orders["device"]), orders["peft"], tower_of(orders))
    with tempfile.TemporaryDirectory() as scratch:
        trainer = _made(orders, model, stage, scratch)
        cast_adapters(model, orders["adapter_dtype"])
        checkpoint_blocks(model, orders["gradient_checkpointing"], orders["peft"] is not None, tower_of(orders))
        yield trainer


def _made(orders: dict[str, Any], model: Any, stage: Stage, scratch: str) -> Any:
    """finefit's trainer, or transformers' own where TRL is not installed or not asked for."""
    rehearsal = orders["rehearsal"]
    arguments = orders["trainer"] | {
        "output_dir": scratch,
        "max_steps": orders["steps"],
        "gradient_accumulation_steps": rehearsal["accumulation"],
        "use_cpu": orders["device"] == "cpu",
        "logging_strategy": "no",
        "save_strategy": "no",
        "eval_strategy": "no",
    }
    batch = orders["trainer"]["per_device_train_batch_size"]
    rows = rows_for(orders, batch * rehearsal["accumulation"] * orders["steps"])
    shared = {"model": model, "processing_class": padding_tokenizer(), "stage": stage}
    if orders["with_trl"]:
        return (_on_preferences if "task" in orders else _on_rows)(orders, arguments, rows, shared)
    from .plain_trainer import PlainTrainer, plain_arguments

    return PlainTrainer(args=plain_arguments(arguments), train_dataset=rows, **shared)


def _on_rows(orders: dict[str, Any], arguments: dict[str, Any], rows: list[Any], shared: dict[str, Any]) -> Any:
    from datasets import Dataset
    from trl import SFTConfig

    from .images import collator_of
    from .trainer import Trainer

    config = SFTConfig(**arguments, dataset_kwargs={"skip_prepare_dataset": True})
    collator = collator_of(orders)
    return Trainer(
        args=config, train_dataset=Dataset.from_list(rows), data_collator=collator, loss=orders["loss"], **shared
    )


def _on_preferences(orders: dict[str, Any], arguments: dict[str, Any], rows: list[Any], shared: dict[str, Any]) -> Any:
    from datasets import Dataset

    from .preferences import PreferenceTrainer, preference_arguments, random_reference

    folder = arguments.pop("output_dir")
    return PreferenceTrainer(
        args=preference_arguments(orders, arguments, folder),
        train_dataset=Dataset.from_list(rows),
        ref_model=random_reference(orders),
        **shared,
    )


def _versions(on_gpu: bool) -> dict[str, Any]:
    """Of what decides the memory of a step; None for what is not installed."""
    names = (*LIBRARIES, "triton")
    found: dict[str, Any] = {"python": platform.python_version(), **dict.fromkeys(names), **installed(names)}
    if on_gpu:
        found |= driver.facts() | {
            "cuda": torch.version.cuda,
            "torch_gpu": torch.cuda.get_device_name(),
            "compute_capability": list(torch.cuda.get_device_capability()),
            "torch_total_bytes": torch.cuda.get_device_properties(0).total_memory,
        }
    return found
