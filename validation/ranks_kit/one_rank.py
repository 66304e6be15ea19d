"""One rank of a measured run; torchrun starts as many as there are: `-m ranks_kit.one_rank ORDERS OUT`.

Orders are those of a rehearsal, with `engine`: its name, and what TrainingArguments are told of it. The model has
random weights and is built as a run builds it: from a folder, so that ZeRO 3 divides it as it loads; or quantised by
bitsandbytes.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ |= {"DS_ACCELERATOR": "cpu", "HF_HUB_OFFLINE": "1", "ACCELERATE_TORCH_DEVICE": "cpu"}
# cpu:0, which accelerate would say, is to torch another device than where a batch is, and the batch would be copied

import torch

from finefit.nouns.engine import Buckets
from finefit.nouns.recording import Recording

from .bends.gloo_lets_go import let_go
from .bends.resized_storages import hear_of_resizes
from .phases import held_of, phases_of

CLASSES = {"ddp": "DistributedDataParallel", "fsdp2": "FSDP", "fsdp1": "FullyShardedDataParallel"}
"""A part of the name of the class that a model is wrapped in; DeepSpeed's for all others."""


def main(orders_path: str, out: str) -> None:
    orders = json.loads(Path(orders_path).read_text())
    torch.set_num_threads(1)
    torch.manual_seed(0)
    found = measured(orders)
    Path(out, f"{os.environ['RANK']}.json").write_text(json.dumps(found))


def measured(orders: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        model = _weights(orders["model"], Path(scratch))
        _prepare(orders["engine"]["name"])
        return _measured(orders, model, Path(scratch))


def _weights(orders: dict[str, Any], scratch: Path) -> Any:
    """Made before there are several ranks, alike on each: a quantised model itself, or None and a folder of others."""
    from finefit.worker.random_weights import random_model

    model = random_model(orders, "cpu")
    if orders["quantization"] is not None:
        return model
    model.save_pretrained(scratch / "weights")
    return None


def _prepare(engine: str) -> None:
    if engine.startswith("zero"):
        from finefit.worker.bends.deepspeed_without_compiler import over_gloo

        over_gloo()
    elif engine.startswith("fsdp"):
        from .bends.fsdp1_on_processor import one_processor_is_any
        from .bends.fsdp_on_processor import shard_on_processors

        shard_on_processors()
        one_processor_is_any()
    let_go()


def _measured(orders: dict[str, Any], model: Any, scratch: Path) -> dict[str, Any]:
    from finefit.worker.written import recording_json

    from .watch import RankRecorder, RankStage, adopt

    recorder = RankRecorder()
    stage = RankStage(recorder)
    trainer = _trainer(orders, model, stage, scratch)
    _hear_of_steps(stage)
    hear_of_resizes(recorder)
    adopt(recorder, trainer.model, getattr(trainer, "ref_model", None))
    with recorder:
        trainer.train()
    wrapped = type(trainer.model_wrapped).__name__
    assert CLASSES.get(orders["engine"]["name"], "DeepSpeedEngine") in wrapped, wrapped
    recording = Recording.from_json(recording_json(recorder, trainer.model))
    return {
        "phases": phases_of(recording),
        "held": held_of(recording),
        "buckets": _buckets(trainer.model_wrapped),
    }


def _hear_of_steps(stage: Any) -> None:
    """DeepSpeed's optimizer steps inside of what accelerate calls backward."""
    if "deepspeed" not in sys.modules:
        return
    from deepspeed.runtime.engine import DeepSpeedEngine

    step = DeepSpeedEngine.step

    def heard(self: Any, *args: Any, **words: Any) -> Any:
        stage.phase("optimizer")
        return step(self, *args, **words)

    DeepSpeedEngine.step = heard


def _trainer(orders: dict[str, Any], model: Any, stage: Any, scratch: Path) -> Any:
    from finefit.worker.build import add_adapter, cast_adapters, checkpoint_blocks, load_model, tower_of

    if model is None:  # what is quantised has no folder
        orders |= {"model": orders["model"] | {"folder": str(scratch / "weights")}}
    config = _config(orders, str(scratch / "out"))
    if model is None:  # after the configuration, which tells transformers of ZeRO 3
        model = load_model(orders["model"])
    model = add_adapter(model, orders["peft"], tower_of(orders))
    trainer = _of_task(orders, model=model, args=config, stage=stage)
    cast_adapters(model, orders["adapter_dtype"])
    checkpoint_blocks(model, orders["gradient_checkpointing"], orders["peft"] is not None, tower_of(orders))
    return trainer


def _config(orders: dict[str, Any], folder: str) -> Any:
    from trl import SFTConfig

    from finefit.worker.preferences import preference_arguments

    from .runs import STEPS

    more = {"max_steps": STEPS, "logging_strategy": "no", "save_strategy": "no"}
    arguments = orders["trainer"] | orders["engine"]["trainer"] | more
    if "task" in orders:
        return preference_arguments(orders, arguments, folder)
    return SFTConfig(output_dir=folder, dataset_kwargs={"skip_prepare_dataset": True}, **arguments)


def _of_task(orders: dict[str, Any], *, args: Any, **shared: Any) -> Any:
    from datasets import Dataset

    from finefit.worker.images import collator_of
    from finefit.worker.preferences import PreferenceTrainer, load_reference, random_reference
    from finefit.worker.synthetic import padding_tokenizer, rows_for
    from finefit.worker.trainer import Trainer

    from .runs import STEPS

    per_step = args.per_device_train_batch_size * args.gradient_accumulation_steps
    rows = Dataset.from_list(rows_for(orders, per_step * STEPS * int(os.environ["WORLD_SIZE"])))
    shared |= {"args": args, "train_dataset": rows, "processing_class": padding_tokenizer()}
    if "task" in orders:
        copied = random_reference if orders["model"]["folder"] is None else load_reference
        return PreferenceTrainer(ref_model=copied(orders), **shared)
    return Trainer(loss=orders["loss"], data_collator=collator_of(orders), **shared)


def _buckets(engine: Any) -> dict[str, Any] | None:
    """As DeepSpeed read them; None for another engine."""
    zero = getattr(getattr(engine, "_config", None), "zero_config", None)
    if zero is None:
        return None
    return asdict(
        Buckets(
            reduce_bucket_size=zero.reduce_bucket_size,
            stage3_prefetch_bucket_size=zero.prefetch_bucket_size,
            stage3_param_persistence_threshold=zero.param_persistence_threshold,
            stage3_max_live_parameters=zero.max_live_parameters,
            stage3_max_reuse_distance=zero.max_reuse_distance,
            sub_group_size=zero.sub_group_size,
            overlap_comm=bool(zero.overlap_comm),
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
