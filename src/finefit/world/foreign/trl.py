"""TRL's own configuration, of `trl sft --config` (1.16).

Source of keys and defaults: trl's ScriptArguments, ModelConfig and SFTConfig; a test asks those that are installed.
Does not know: which modules PEFT takes for a model where none are named; here they are all linear ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from finefit.nouns.hub_rows import hub_rows
from finefit.world.entries import Entry

from .tool import (
    TEMPLATE,
    TRAINER,
    TRAINERS_BATCH,
    Rule,
    Tool,
    Values,
    a_file,
    each,
    left,
    named,
    nothing,
    of_hub,
    unless,
    valued,
)  # fmt: skip

UNSAID = {
    "max_length": 1024,
    "learning_rate": 2e-5,
    "lr_scheduler_type": "linear",
    "num_train_epochs": 3.0,
    "assistant_only_loss": False,
}
ADAPTERS = {"lora_r": 16, "lora_alpha": 32, "lora_dropout": 0.05}
SAME = """load_in_4bit load_in_8bit bnb_4bit_quant_type lora_r lora_alpha lora_dropout lora_target_modules use_dora
    use_rslora max_length packing assistant_only_loss"""


def _adapter(entry: Entry) -> Iterator[Entry]:
    yield replace(entry, key="method", value="lora" if entry.value else "full")


def _joined(given: Mapping[str, Entry]) -> Mapping[str, Entry]:
    """Config and splits belong to the data set; its test split is read where `eval_strategy` asks for it."""
    said = {key: entry.value for key, entry in given.items()}
    if "dataset_name" not in given or hub_rows(str(said["dataset_name"])) is None:
        return given
    named, config = given["dataset_name"], said.get("dataset_config")
    if any((base / str(named.value)).exists() for base in (named.base, Path.cwd())):
        return given
    train = of_hub(named.value, config, said.get("dataset_train_split") or "train")
    joined = {**given, "dataset_name": replace(named, value=train)}
    if said.get("eval_strategy") in ("steps", "epoch"):
        test = of_hub(named.value, config, said.get("dataset_test_split") or "test")
        joined["eval_data"] = replace(named, key="eval_data", value=test)
    return joined


def _unsaid(values: Values, read: Mapping[str, Entry]) -> dict[str, Any]:
    warm = {} if {"warmup_steps", "warmup_ratio"} & read.keys() else {"warmup_steps": 0}
    if not values.get("use_peft"):
        return UNSAID | warm | {"method": "full"}
    return UNSAID | warm | ADAPTERS | ({"bnb_4bit_use_double_quant": False} if values.get("load_in_4bit") else {})


RULES: dict[str, Rule] = {
    **TRAINER,
    **{key: named(key) for key in SAME.split()},
    **each(nothing, "dataset_train_split dataset_test_split dataset_num_proc dataset_config lora_task_type"),
    "model_name_or_path": named("model"),
    "dataset_name": a_file("data", lambda entry: [str(entry.value)]),
    "eval_data": a_file("eval_data", lambda entry: [str(entry.value)]),
    "use_peft": _adapter,
    "use_bnb_nested_quant": named("bnb_4bit_use_double_quant"),
    "packing_strategy": unless("bfd", "rows are packed best fit first, and never cut"),
    "dtype": valued("dtype", {"float32": "float32", "bfloat16": "bfloat16", "float16": "float16", "auto": None}),
    "chat_template_path": left(TEMPLATE),
    "model_revision": unless("main", "a revision is fetched by `hf download --revision`"),
}
TRL = Tool("TRL", frozenset({"model_name_or_path"}), RULES, _unsaid, TRAINERS_BATCH, _joined)
