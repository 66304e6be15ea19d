"""The rehearsal: the real training run, two optimizer steps of it, on fake tensors.

`Trainer.train()` itself runs: the same trainer, loss, clipping and optimizer as in a run, on tensors that have shapes
but no memory. Data is real where a job has it (tokenised by TRL as in the run), else rows of the asked length, every
token trained. A job with held-out rows is evaluated once on the longest of them, where the run does it first with the
optimizer's state in place. For a GPU, the rules in `rules/` say what it does otherwise.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from accelerate.utils import extract_model_from_parallel
from datasets import Dataset
from torch import nn
from trl import SFTConfig

from . import rehearsed_rows, shown
from .batches import (
    Row,
    facts_of,
    fullest_batch,
    keep_batch,
    keep_longest_held_out,
    lengths_of,
    longest_of,
    refuse_long,
    refuse_long_rows,
    rival_of,
    tokenised,
)
from .bends.empty_dora import dora_of_empty_weights
from .bends.foreach import multi_tensor_for_fake_tensors
from .bends.outliers import NoOutliers
from .bends.scalars import numbers_of_fake_tensors
from .bends.tracing import fake_tensors_are_not_tracing
from .build import add_adapter, cast_adapters, checkpoint_blocks, empty_model, read_config, tower_of
from .evaluated import Evaluated
from .events import teller
from .fake import make_fake
from .fake_stage import FakeStage
from .fakes import Fakes
from .images import collator_of
from .layers import are_alike, keep_layers
from .packing import is_flattened, joined, packed
from .preferences import PreferenceTrainer, empty_reference, preference_arguments, task_of
from .recorder import Recorder
from .rules import Card, liger, of_a_gpu, workspaces
from .same_width import at_the_same_width
from .schedule import schedule_of
from .shadow import ControlFlow
from .shorter import shorter_rows
from .side_by_side import side_by_side
from .stack import versions
from .stage import RECORDED_STEPS, RecordedStage
from .told import LogProbs
from .trainer import Trainer
from .written import recording_json

SLOW_SECONDS = 15
"""For one rehearsal; of a model like Llama-3.2-1B it took three to seven, on two cores shared with others."""


def main(orders_path: str, out_path: str) -> None:
    """Reads orders, writes {alike, recordings, takes, data, lengths, schedule, shorter, others, stack, seconds}.
    Raises `BadInput`.

    Where layers are not alike that are said to be, every layer is rehearsed, and no takes are. What does not need
    another's answer is rehearsed beside it.
    """
    started = time.perf_counter()
    orders = at_the_same_width(json.loads(Path(orders_path).read_text()))
    fake_tensors_are_not_tracing()
    multi_tensor_for_fake_tensors()
    plain = orders["model"] | {"quantization": _of_some_modules(orders["model"]["quantization"]), "prepare": False}
    alike = are_alike(empty_model(plain, read_config(plain)), orders["rehearsal"]["kinds"])
    few, takes = (orders["rehearsal"]["layers"], orders["rehearsal"]["takes"]) if alike else ([None], [])
    extract_model_from_parallel(nn.Identity())  # imports DeepSpeed where it is installed: before children are forked
    rehearsals = side_by_side([partial(_told, orders, each) for each in few])
    tell = teller(orders)
    taken = side_by_side([partial(_taken, _at(orders, *point), each, tell) for each, *point in takes])
    data = Data(**rehearsals[0]["data"]) if rehearsals and rehearsals[0]["data"] else None
    result = {
        "alike": alike,
        "recordings": [told["recording"] for told in rehearsals],
        "takes": [told["recording"] for told in taken],
        "data": data.facts if data else None,
        "lengths": data.lengths if data else None,
        "schedule": data.schedule if data else None,
        "shorter": _shorter(orders, data) if data and alike else [],
        "others": _others(orders, data, few) if data else [],
        "stack": versions(orders),
        "seconds": time.perf_counter() - started,
    }
    Path(out_path).write_text(json.dumps(result))


def _of_some_modules(quantization: dict[str, Any] | None) -> dict[str, Any] | None:
    """Quantisation that may tell layers apart: modules are left out of it by their names."""
    return quantization if quantization and quantization.get("llm_int8_skip_modules") else None


def _at(orders: dict[str, Any], batch: int, length: int, rank: int) -> dict[str, Any]:
    """The same recipe at another micro-batch, length and rank of adapters."""
    peft = orders["peft"]
    return orders | {
        "peft": peft if peft is None else peft | {"r": rank},
        "trainer": orders["trainer"] | {"per_device_train_batch_size": batch},
        "rehearsal": orders["rehearsal"] | {"length": length},
    }


def _shorter(orders: dict[str, Any], data: Data) -> list[list[Any]]:
    """The fullest micro-batch with fewer tokens in each row, of the first few layers: lengths and recordings. Each
    takes as long as the first rehearsal did, so there is none where that was slow."""
    if not orders["rehearsal"].get("shorter") or data.seconds > SLOW_SECONDS or shown.shows(orders):
        return []
    few, fullest = orders["rehearsal"]["layers"][0], data.fullest
    if is_flattened(orders):  # one sequence
        fullest = [joined(fullest)]
        orders = orders | {"trainer": orders["trainer"] | {"per_device_train_batch_size": 1}}
    shorter = list(shorter_rows(fullest))
    told = [orders["rehearsal"] | {"rows": rows, "held_out": data.held_out} for rows in shorter]
    rehearsals = side_by_side([partial(_told, orders | {"rehearsal": each}, few) for each in told])
    lengths = [longest_of(rows) for rows in shorter]
    return [[length, told["recording"]] for length, told in zip(lengths, rehearsals, strict=True)]


def _others(orders: dict[str, Any], data: Data, few: list[Any]) -> list[list[Any]]:
    """Of each further micro-batch that may be the fullest: the recordings of a few layers."""
    held_out = data.held_out if shown.shows(orders) else []
    told = [orders | {"rehearsal": orders["rehearsal"] | {"rows": rows, "held_out": held_out}} for rows in data.others]
    made = side_by_side([partial(_told, each, layers) for each in told for layers in few])
    recordings = [one["recording"] for one in made]
    return [recordings[start : start + len(few)] for start in range(0, len(recordings), len(few))]


@dataclass(frozen=True)
class Data:
    """What is known of a job's rows."""

    facts: dict[str, Any]
    lengths: list[int]
    schedule: list[dict[str, Any]]
    # where it was asked for: the steps that reserved memory depends on
    fullest: list[Row]
    # the micro-batch that was rehearsed
    held_out: list[Row]
    seconds: float
    # that the rehearsal took
    others: list[list[Row]] = field(default_factory=list)
    # further micro-batches that may be the fullest


def _told(orders: dict[str, Any], few: list[Any] | None) -> dict[str, Any]:
    """A rehearsal in words that JSON has."""
    recording, data = _rehearse(orders, few)
    return {"recording": recording, "data": data and asdict(data)}


def _taken(orders: dict[str, Any], few: list[Any] | None, tell: Callable[[str], None]) -> dict[str, Any]:
    told = _told(orders, few)
    tell("one more is rehearsed")
    return told


def _rehearse(orders: dict[str, Any], few: list[Any] | None) -> tuple[dict[str, Any], Data | None]:
    """One recording, and what is known of the data; `few`: the layers to keep, and how many of them checkpointed."""
    started = time.perf_counter()
    config = read_config(orders["model"])
    checkpointed = orders["gradient_checkpointing"]
    if few is not None:
        kept, checkpointed = few
        keep_layers(config, kept)
    card = _card(orders)
    mode = Fakes(on_gpu=card is not None)
    with dora_of_empty_weights():
        model = make_fake(add_adapter(empty_model(orders["model"], config), orders["peft"], tower_of(orders)), mode)
    recorder = Recorder(workspaces(card) if card else ())
    stage = FakeStage(recorder, mode, on_gpu=card is not None)
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as rehearsal:
        if card is not None and orders["trainer"].get("use_liger_kernel"):
            rehearsal.enter_context(liger.on_a_gpu(model, card.compute_capability))
        reference = empty_reference(orders, config)
        trainer = _trainer(
            orders, scratch, model=model, reference=reference and make_fake(reference, mode), stage=stage
        )
        cast_adapters(model, orders["adapter_dtype"])
        if not shown.shows(orders):
            keep_longest_held_out(trainer)
        data = _data(orders, trainer) if orders["data"] and not rehearsed_rows.has_rows(orders) else None
        checkpoint_blocks(model, checkpointed, orders["peft"] is not None, tower_of(orders))
        rehearsal.enter_context(dora_of_empty_weights())
        rehearsal.enter_context(mode)
        if _in_8_bits(orders["model"]) or _in_8_bits(task_of(orders)):
            rehearsal.enter_context(NoOutliers())
        rehearsal.enter_context(ControlFlow(mode))
        rehearsal.enter_context(numbers_of_fake_tensors())
        if card is not None:
            rehearsal.enter_context(of_a_gpu(card))
        trainer.train()
        if trainer.eval_dataset is not None and not stage.evaluated:
            trainer.evaluate()  # a run that is not evaluated on its way is so at its end
    return recording_json(recorder, model, reference), data and replace(data, seconds=time.perf_counter() - started)


def _in_8_bits(words: Mapping[str, Any]) -> bool:
    """Of a model, or of a task, whose frozen copy may be."""
    return bool((words.get("quantization") or {}).get("load_in_8bit"))


def _trainer(orders: dict[str, Any], folder: str, *, model: Any, reference: Any, stage: RecordedStage) -> Any:
    """Of the task: rows or preferences; with a frozen copy to compare with, or None."""
    tokenizer = rehearsed_rows.tokenizer_for(orders)
    shared = {
        "model": model,
        "train_dataset": rehearsed_rows.dataset(orders, tokenizer),
        "eval_dataset": rehearsed_rows.held_out(orders, tokenizer),
        "processing_class": tokenizer,
        "stage": stage,
    }
    if task_of(orders)["name"] == "dpo":
        args = preference_arguments(orders, _arguments(orders), folder)
        return Preferring(ref_model=reference, args=args, in_order=True, **shared)
    return Trainer(
        args=SFTConfig(output_dir=folder, **_arguments(orders)),
        data_collator=collator_of(orders),
        loss=orders["loss"],
        hold_outputs=orders["rehearsal"]["hold_outputs"],
        in_order=shown.shows(orders) or is_flattened(orders),  # of one micro-batch, again and again
        **shared,
    )


class Preferring(PreferenceTrainer):
    """Asks nobody before training: fake tensors say nothing."""

    def asked(self, dataset: Any, batch_size: int) -> LogProbs:
        return [(-1.0, -1.0)] * len(dataset)


def _data(orders: dict[str, Any], trainer: Evaluated) -> Data:
    """Leaves the trainer the fullest micro-batch alone."""
    if shown.shows(orders):
        return _data_shown(orders, trainer)
    rows, held_out = trainer.train_dataset, trainer.eval_dataset
    refuse_long_rows(trainer, orders)
    facts, lengths, is_flat = facts_of(rows), lengths_of(rows), is_flattened(orders)
    if is_flat:
        rows = trainer.train_dataset = packed(rows, orders["max_length"])
        facts["packed_rows"] = len(rows)
    schedule = schedule_of(rows, orders["trainer"], has_held_out=held_out is not None)
    fullest = fullest_batch(schedule.fullness or schedule.lengths, schedule.order(0), schedule.micro_batch, is_flat)
    alone = rival_of(rows, fullest, schedule.micro_batch, is_flat)
    keep_batch(trainer, fullest, RECORDED_STEPS)
    wanted = orders["rehearsal"].get("shorter")
    told = [step.as_json() for step in schedule.chosen(len(fullest))] if wanted else []
    others = [tokenised(rows.select(alone))] if alone else []
    facts["batch_tokens"] = [schedule.size(batch).length for batch in (fullest, alone) if batch]
    kept, aside = tokenised(rows.select(fullest)), tokenised(held_out)
    return Data(facts, lengths, told, kept, aside, seconds=0, others=others)


def _data_shown(orders: dict[str, Any], trainer: Evaluated) -> Data:
    """Rows with images: the longest of the micro-batches that may be the fullest; any rows may meet."""
    images, data = orders["rehearsal"]["images"], orders["data"]
    rows = shown.ShownRows.of(images, data, trainer.train_dataset)
    refuse_long(rows.lengths, orders)
    batches, more = rows.fullest(orders["trainer"]["per_device_train_batch_size"])
    first, *others = ([rows.row(number) for number in batch] for batch in batches)
    trainer.train_dataset = rehearsed_rows.repeated(orders, first)
    held_out = []
    if trainer.eval_dataset is not None:
        aside = shown.ShownRows.of(images, data, trainer.eval_dataset, "eval")
        held_out = [aside.row(number) for number in aside.longest(trainer.args.eval_batch_size)]
        trainer.eval_dataset = Dataset.from_list(held_out)
    facts = rows.facts() | {"batches": rows.told(batches), "more": more}
    return Data(facts, rows.lengths, [], first, held_out, seconds=0, others=others)


def _arguments(orders: dict[str, Any]) -> dict[str, Any]:
    """The run's own trainer arguments, but for what a rehearsal must not do: log, save, go on."""
    arguments = orders["trainer"] | {
        "max_steps": RECORDED_STEPS,
        "gradient_accumulation_steps": orders["rehearsal"]["accumulation"],
        "use_cpu": True,
        "logging_strategy": "no",
        "save_strategy": "no",
        "eval_steps": RECORDED_STEPS,
        "dataset_kwargs": {"skip_prepare_dataset": orders["data"] is None or rehearsed_rows.are_tokens(orders)},
    }
    if shown.shows(orders):
        arguments["remove_unused_columns"] = False  # rows say what they show
    if rehearsed_rows.are_tokens(orders):
        arguments["assistant_only_loss"] = False  # their labels say which tokens are trained
    return arguments


def _card(orders: dict[str, Any]) -> Card | None:
    if orders["device"] == "cpu":
        return None
    capability = orders["rehearsal"]["compute_capability"]
    return Card(tuple(capability), orders["rehearsal"]["attention_kernel"])
