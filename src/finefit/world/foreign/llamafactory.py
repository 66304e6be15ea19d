"""LLaMA-Factory's configuration (0.9).

Source of keys and defaults: hiyouga/LLaMA-Factory, hparams/finetuning_args.py (rank 8, alpha twice the rank, all linear
modules), data_args.py (2,048 tokens, prompts are not trained), model_args.py; the rest is transformers' own. A data
set is a name in dataset_info.json.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from finefit.world.entries import Entry

from .tool import (
    ASIDE,
    DECIDED,
    TEMPLATE,
    TRAINER,
    TRAINERS_BATCH,
    Rule,
    Tool,
    Values,
    Wrong,
    a_file,
    each,
    inverted,
    left,
    named,
    nothing,
    of_hub,
    unless,
    valued,
)  # fmt: skip

INFO = "dataset_info.json"
FOLDER = "data"
"""Where data sets lie that `dataset_dir` does not put elsewhere."""
LISTED = f"{INFO} is looked for beside the configuration and in {FOLDER}/: else --data FILE"


def _files(entry: Entry) -> list[str]:
    return [_file(entry, name.strip()) for name in str(entry.value).split(",")]


def _file(entry: Entry, name: str) -> str:
    """By the list of data sets where there is one, else the name itself."""
    for folder in (entry.base / FOLDER, Path.cwd() / FOLDER, entry.base):
        try:
            told = json.loads((folder / INFO).read_text(encoding="utf-8"))[name]
            if "hf_hub_url" in told:
                return of_hub(told["hf_hub_url"], told.get("subset"), told.get("split", "train"))
            return str(folder / told["file_name"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return name


def _bits(entry: Entry) -> Iterator[Entry | Wrong]:
    if entry.value in (4, 8):
        yield replace(entry, key=f"load_in_{entry.value}bit", value=True)
    else:
        yield Wrong(f"{entry.value} bits are not trained beside by finefit", "4 or 8")


def _targets(entry: Entry) -> Iterator[Entry]:
    yield replace(entry, key="lora_target_modules", value="all-linear" if entry.value == "all" else entry.value)


def _unsaid(values: Values, read: Mapping[str, Entry]) -> dict[str, Any]:
    rank = values.get("lora_rank", 8)
    alpha = 2 * rank if isinstance(rank, int) else 16
    adapters = {"lora_r": 8, "lora_alpha": alpha, "lora_target_modules": "all-linear"}
    is_full = values.get("finetuning_type") == "full"
    usual = {"max_length": 2048, "learning_rate": 5e-5, "lr_scheduler_type": "linear", "num_train_epochs": 3.0}
    warm = {} if {"warmup_steps", "warmup_ratio"} & read.keys() else {"warmup_steps": 0}
    return {**usual, **warm, **({} if is_full else adapters)}


RULES: dict[str, Rule] = {
    **TRAINER,
    **each(nothing, "overwrite_cache preprocessing_num_workers plot_loss cache_dir use_fast_tokenizer"),
    **each(left(DECIDED), "flash_attn disable_gradient_checkpointing"),
    "model_name_or_path": named("model"),
    "stage": valued("task", {"sft": "sft", "dpo": "dpo"}),
    "finetuning_type": valued("method", {"lora": "lora", "full": "full"}),
    "quantization_bit": _bits,
    "quantization_method": unless("bnb", "weights are quantised by bitsandbytes"),
    "quantization_type": named("bnb_4bit_quant_type"),
    "double_quantization": named("bnb_4bit_use_double_quant"),
    "dataset": a_file("data", _files),
    "eval_dataset": a_file("eval_data", _files),
    "dataset_dir": unless(FOLDER, LISTED),
    "template": left(TEMPLATE),
    "cutoff_len": named("max_length"),
    "train_on_prompt": inverted("assistant_only_loss"),
    "mask_history": unless(False, "all answers of a conversation are trained"),
    "neat_packing": named("packing"),
    "packing": unless(False, "rows that share a sequence do not see each other here: neat_packing"),
    "lora_rank": named("lora_r"),
    "lora_alpha": named("lora_alpha"),
    "lora_dropout": named("lora_dropout"),
    "lora_target": _targets,
    "use_dora": named("use_dora"),
    "use_rslora": named("use_rslora"),
    "enable_liger_kernel": named("use_liger_kernel"),
    "val_size": unless(0, ASIDE),
    "max_samples": left("all rows are trained on"),
    "freeze_vision_tower": named("freeze_vision_tower"),
}
MARKS = frozenset({"stage", "finetuning_type", "cutoff_len", "dataset_dir", "template"})
LLAMA_FACTORY = Tool("LLaMA-Factory", MARKS, RULES, _unsaid, TRAINERS_BATCH)
