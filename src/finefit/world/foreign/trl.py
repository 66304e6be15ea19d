"""TRL's own configuration, of `trl sft --config` (1.16).

Source of keys and defaults: trl's ScriptArguments, ModelConfig and SFTConfig; a test asks those that are installed.
Does not know: which modules PEFT takes for a model where none are named; here they are all linear ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from finefit.world.entries import Entry

from .tool import (
    TEMPLATE,
    TRAINER,
    Rule,
    Tool,
    Values,
    Wrong,
    a_file,
    each,
    left,
    named,
    nothing,
    trainers_batch,
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


def _file(key: str) -> Rule:
    def rule(entry: Entry) -> Iterator[Entry | Wrong]:
        yield from a_file(entry, key, str(entry.value))

    return rule


def _adapter(entry: Entry) -> Iterator[Entry]:
    yield replace(entry, key="method", value="lora" if entry.value else "full")


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
    "dataset_name": _file("data"),
    "use_peft": _adapter,
    "use_bnb_nested_quant": named("bnb_4bit_use_double_quant"),
    "packing_strategy": unless("bfd", "rows are packed best fit first, and never cut"),
    "dtype": valued("dtype", {"float32": "float32", "bfloat16": "bfloat16", "float16": "float16", "auto": None}),
    "chat_template_path": left(TEMPLATE),
    "model_revision": unless("main", "a revision is fetched by `hf download --revision`"),
}
TRL = Tool("TRL", frozenset({"model_name_or_path"}), RULES, _unsaid, trainers_batch)
