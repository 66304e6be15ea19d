"""One training run, from the orders in its folder to an adapter that has been read back."""

from __future__ import annotations

import gc
import json
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from datasets import Dataset
from transformers import set_seed
from trl import DPOConfig, SFTConfig

from finefit.errors import RunFailed
from finefit.nouns.steps import optimizer_steps

from .allocator_stage import AllocatorStage, CudaCounters
from .batches import refuse_long_rows
from .build import add_adapter, cast_adapters, checkpoint_blocks, load_model, new_model, tower_of
from .checkpoints import newest_complete, read_manifest, step_of, sweep
from .events import Events
from .packing import is_flattened, packed
from .plain_text import as_written
from .preferences import load_reference, preference_arguments, task_of
from .processor import papers_of, processor_of, tokenizer_of
from .profiled import profilers
from .progress import MemoryReader, Progress, resident_memory, resident_peak
from .recorder import Recorder
from .rows import Which, conversations_in_parts, dataset_of
from .run_trainer import PARTIAL, OfRun, PreferenceRunTrainer, RunCallback, RunTrainer
from .saved import difference, load, logits_of, rows_to_check, save
from .seeing import SeeingRunTrainer
from .stack import versions
from .stage import RecordedStage, Stage
from .stop import Stop, Stopped
from .written import recording_json

TOLD = "reference.json"
"""In a run's folder: what a reference said before training."""


class Kinds(NamedTuple):
    """Of trainers: by what a run is on."""

    rows: type[RunTrainer]
    pairs: type[PreferenceRunTrainer]
    pictured: type[SeeingRunTrainer]


ALONE = Kinds(RunTrainer, PreferenceRunTrainer, SeeingRunTrainer)


def train(run: Path, events: Events, stop: Stop) -> None:
    orders = json.loads((run / "orders" / "train.json").read_text())
    sweep(run)
    sweep(run / "checkpoints")
    resume = checkpoint_to_resume(run, orders, events)
    events.write("started", resumed_from=step_of(resume) if resume else 0)
    trained = _train(run, orders, resume, events, stop)
    finish(run, orders, trained, events)


def finish(run: Path, orders: dict[str, Any], trained: Trained, events: Events) -> None:
    """Reads back what was saved, when the trainer is gone."""
    _forget_trainer()  # it lived in `_train` alone: two models need not fit at once
    widens = orders.get("engine", {}).get("name") != "deepspeed"  # there adapters have the dtype of the weights
    reloaded = load(orders["model"], run / "adapter", orders["device"], widens=widens)
    found = difference(trained.logits, logits_of(reloaded, trained.batch, trained.autocast), orders["model"]["dtype"])
    events.write("reloaded", **found)
    if not found["agrees"]:
        raise RunFailed(
            f"what was saved is not what was trained: logits differ by {found['max_difference']:.3g}, "
            f"more than {found['tolerance']:.3g}"
        )
    events.write("done", **trained.totals, rss_peak_bytes=resident_peak())


@dataclass(frozen=True)
class Trained:
    """What is left of the trainer once the model is saved."""

    batch: dict[str, torch.Tensor]
    logits: torch.Tensor
    autocast: Callable[[], AbstractContextManager[None]]
    totals: dict[str, Any]


def _train(run: Path, orders: dict[str, Any], resume: Path | None, events: Events, stop: Stop) -> Trained:
    measure = _measure(run, orders["device"], events, measured_already=resume is not None)
    progress = Progress(measure.memory)
    if resume:
        done = read_manifest(resume)
        progress.restore(done["step"], done["tokens"], done["seconds"])
    callback = RunCallback(events, progress, stop, measured_already=resume is not None)
    callbacks = [callback, *profilers(run, orders, events, progress)]
    trainer = made_trainer(
        run, orders, measure, events=events, progress=progress, callbacks=callbacks, check=stop.check
    )
    callback.on_measured = lambda: measure.write(trainer)
    stop.check()
    if trainer.eval_dataset is not None and resume is None:
        trainer.held_out("before")
    stop.check()
    set_seed(orders["trainer"]["seed"])  # whatever was done until here, training begins alike
    _train_or_load(trainer, orders, resume)
    if trainer.state.global_step < trainer.state.max_steps:
        raise Stopped
    if orders["device"] == "cuda":
        measure.write(trainer)
    stop.check()
    if trainer.eval_dataset is not None:
        trainer.held_out("after")
        measure.write(trainer)
    beside = papers_of(orders["model"]["folder"])
    nbytes = save(trainer.model, trainer.processing_class, run / "adapter", beside=beside)
    events.write("saved", path="adapter", bytes=nbytes)
    batch = to_check(trainer)
    autocast = trainer.accelerator.autocast
    logits = logits_of(trainer.model, batch, autocast)
    totals = {"steps": trainer.state.global_step, "tokens": progress.tokens, "seconds": progress.seconds}
    trainer.accelerator.free_memory()
    sweep(run / "checkpoints")
    return Trained(batch, logits, autocast, totals)


def to_check(trainer: Any) -> dict[str, torch.Tensor]:
    """What the trained model and the one that is read back are both asked about."""
    return trainer.to_check() if isinstance(trainer, SeeingRunTrainer) else rows_to_check(trainer)


def checkpoint_to_resume(run: Path, orders: dict[str, Any], events: Events) -> Path | None:
    if not orders["resume"]:
        return None
    checkpoint = newest_complete(run / "checkpoints", events.note)
    if checkpoint is None:
        events.note("no complete checkpoint was found: training starts from the beginning")
    return checkpoint


def made_trainer(
    run: Path,
    orders: dict[str, Any],
    measure: Measure,
    *,
    kinds: Kinds = ALONE,
    elements: Callable[[Any], int] = torch.numel,
    **watchers: Any,
) -> OfRun:
    """`elements`: of a parameter, of which a process may hold a part."""
    started = time.perf_counter()
    data = orders["data"]
    folder, shows = orders["model"]["folder"], "images" in orders
    processor = processor_of(folder) if shows else None
    tokenizer = tokenizer_of(folder) if processor is None else processor.tokenizer
    train_rows = _rows(orders, tokenizer, "train")
    eval_rows = _rows(orders, tokenizer, "eval") if data["eval"] else None
    set_seed(orders["trainer"]["seed"])
    args = _arguments(run, orders)  # before the model: an engine that they name may divide what is loaded
    made = new_model if orders.get("from_scratch") else load_model
    model = add_adapter(made(orders["model"]), orders["peft"], tower_of(orders))
    trainer = _of_task(
        run,
        orders,
        kinds,
        model=model,
        args=args,
        train_dataset=train_rows,
        eval_dataset=eval_rows,
        processing_class=tokenizer,
        stage=measure.stage,
        aside=measure.aside,
        keep=orders["save_total_limit"],
        **watchers,
    )
    trainer.planned_bytes = orders.get("planned_bytes")
    cast_adapters(trainer.model, orders["adapter_dtype"])
    if isinstance(trainer, SeeingRunTrainer):
        trainer.see(orders, processor)
    else:
        refuse_long_rows(trainer, orders)
    if len(trainer.train_dataset) != len(train_rows):
        raise RunFailed(f"{len(train_rows) - len(trainer.train_dataset)} rows were lost by the tokenizer")
    if is_flattened(orders):
        trainer.train_dataset = packed(trainer.train_dataset, orders["max_length"])
    checkpointed = checkpoint_blocks(
        model, orders["gradient_checkpointing"], orders["peft"] is not None, tower_of(orders)
    )
    trainer.events.write(
        "loaded",
        rows=len(train_rows),
        sequences=len(trainer.train_dataset),
        eval_rows=len(eval_rows) if eval_rows is not None else 0,
        parameters=sum(map(elements, model.parameters())),
        trainable_parameters=sum(elements(p) for p in model.parameters() if p.requires_grad),
        checkpointed_blocks=checkpointed,
        device=str(trainer.accelerator.device),
        threads=torch.get_num_threads(),
        stack=versions(orders),
        seconds=time.perf_counter() - started,
    )
    return trainer


def _rows(orders: dict[str, Any], tokenizer: Any, which: Which) -> Dataset:
    if "images" in orders:
        return conversations_in_parts(orders["data"], which)
    return as_written(tokenizer, dataset_of(orders["data"], which))


def _arguments(run: Path, orders: dict[str, Any]) -> SFTConfig | DPOConfig:
    folder = str(run / "checkpoints" / PARTIAL)
    arguments = orders["trainer"] | {"logging_nan_inf_filter": False, "save_total_limit": None, "run_name": run.name}
    os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(run / "tensorboard"))  # else in the folder of checkpoints
    if "images" in orders:
        arguments |= {"remove_unused_columns": False}  # rows say which they are
    if task_of(orders)["name"] == "sft":
        return SFTConfig(output_dir=folder, **arguments)
    return preference_arguments(orders, arguments, folder)


def _of_task(run: Path, orders: dict[str, Any], kinds: Kinds, **shared: Any) -> OfRun:
    if "images" in orders:
        return kinds.pictured(loss=orders["loss"], first=orders["data"]["first"], **shared)
    if task_of(orders)["name"] == "sft":
        return kinds.rows(loss=orders["loss"], **shared)
    return kinds.pairs(ref_model=load_reference(orders), told=run / TOLD, **shared)


def _train_or_load(trainer: OfRun, orders: dict[str, Any], resume: Path | None) -> None:
    """Trains what is left; a run that had ended after its last step only gets its weights back."""
    steps = optimizer_steps(orders["trainer"], len(trainer.train_dataset))
    if resume is None or step_of(resume) < steps:
        trainer.train(resume_from_checkpoint=str(resume) if resume else None)
        return
    trainer._load_from_checkpoint(str(resume))
    trainer.state.global_step = trainer.state.max_steps = step_of(resume)


@dataclass(frozen=True)
class Measure:
    """How a run's memory is measured, on this kind of device."""

    stage: Stage
    aside: Callable[[], AbstractContextManager[None]]
    memory: MemoryReader
    write: Callable[[OfRun], None]


def _measure(run: Path, device: str, events: Events, measured_already: bool) -> Measure:
    if device == "cuda":
        return measure_gpu(events)
    if measured_already:  # only the first steps have the longest row
        return Measure(Stage(), nullcontext, resident_memory, lambda _: None)
    stage = RecordedStage(Recorder())
    written: list[tuple[int, str]] = []

    def write(trainer: OfRun) -> None:
        stage.close()
        if written == stage.recorder.marks:
            return
        written[:] = stage.recorder.marks
        partial = run / ".partial-recording.json"
        partial.write_text(
            json.dumps(recording_json(stage.recorder, trainer.model, getattr(trainer, "ref_model", None)))
        )
        partial.rename(run / "recording.json")
        events.write("measured", kind="recorder", file="recording.json")

    return Measure(stage, nullcontext, resident_memory, write)


def measure_gpu(events: Events) -> Measure:
    stage = AllocatorStage(CudaCounters())

    def memory() -> dict[str, Any]:
        allocated = torch.cuda.memory_allocated()
        return {"memory_bytes": allocated, "memory_kind": "allocated", "peak_bytes": stage.peak_bytes}

    return Measure(stage, stage.aside, memory, lambda _: events.write("measured", **stage.measured()))


def _forget_trainer() -> None:
    gc.collect()  # the patched forward and the trainer hold each other
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
