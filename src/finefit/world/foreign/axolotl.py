"""axolotl's configuration (0.19).

Source of keys and defaults: axolotl-ai-cloud/axolotl, utils/schemas/training.py and peft.py; of the warm-up,
core/builders/base.py (3 % of all steps, at most 100: the limit is not taken over).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from finefit.world.entries import Entry

from .tool import (
    ASIDE,
    DECIDED,
    PRECISION,
    RUNS,
    TEMPLATE,
    TRACKED,
    Left,
    Rule,
    Tool,
    Values,
    Wrong,
    a_file,
    batch,
    each,
    inverted,
    left,
    named,
    nothing,
    of_hub,
    unless,
    valued,
)  # fmt: skip


def _sets(entry: Entry) -> list[Mapping[str, Any]]:
    return [one for one in entry.value if isinstance(one, Mapping)] if isinstance(entry.value, list) else []


def _files(entry: Entry) -> list[str]:
    said = [one.get("data_files") or _path(one) for one in _sets(entry)]
    return [str(name) for files in said for name in (files if isinstance(files, list) else [files])]


def _path(one: Mapping[str, Any]) -> str:
    return of_hub(one.get("path"), one.get("name"), one.get("split"), one.get("revision"))


def _dataset(key: str) -> Rule:
    def rule(entry: Entry) -> Iterator[Entry | Left | Wrong]:
        yield from a_file(key, _files)(entry)
        for one in _sets(entry):
            for name in sorted(one.keys() - {"path", "data_files", "ds_type", "split", "name", "revision"}):
                yield Left(f"{name} {one[name]}: {TEMPLATE}")

    return rule


def _linear(entry: Entry) -> Iterator[Entry]:
    if entry.value:
        yield replace(entry, key="lora_target_modules", value="all-linear")


def _unsaid(values: Values, read: Mapping[str, Entry]) -> dict[str, Any]:
    """Without an adapter, everything is trained."""
    is_full = not ({"adapter", "load_in_4bit", "load_in_8bit"} & {key for key, value in values.items() if value})
    return {"method": "full"} if is_full else {}


SAME = """learning_rate weight_decay max_grad_norm max_steps warmup_steps warmup_ratio seed lora_r lora_alpha
    lora_dropout lora_target_modules logging_steps save_steps eval_steps save_total_limit trust_remote_code load_in_4bit
    load_in_8bit"""
OPEN = """gradient_checkpointing gradient_checkpointing_kwargs flash_attention sdp_attention xformers_attention
    eager_attention attn_implementation deepspeed fsdp fsdp_config fsdp_version pad_to_sequence_len eval_sample_packing
    auto_find_batch_size liger_fused_linear_cross_entropy"""
TRACKERS = """wandb_project wandb_entity wandb_name wandb_watch wandb_run_id wandb_log_model mlflow_experiment_name
    use_tensorboard"""
QUIET = """model_type tokenizer_type dataset_prepared_path dataset_processes eval_batch_size eval_table_size
    eval_max_new_tokens debug local_rank ddp_timeout resume_from_checkpoint is_llama_derived_model hub_model_id strict
    micro_batch_size gradient_accumulation_steps"""
"""The batch's two are read by `_batch`."""
RULES: dict[str, Rule] = {
    **{key: named(key) for key in SAME.split()},
    **each(left(DECIDED), OPEN),
    **each(left(TRACKED), TRACKERS),
    **each(nothing, QUIET),
    **PRECISION,
    "base_model": named("model"),
    "adapter": valued("method", {"lora": "lora", "qlora": "qlora4", "": None}, "lora, qlora, or none for full"),
    "rl": valued("task", {"dpo": "dpo", "": None}, "dpo, or none"),
    "datasets": _dataset("data"),
    "test_datasets": _dataset("eval_data"),
    "sequence_len": named("max_length"),
    "sample_packing": named("packing"),
    "num_epochs": named("num_train_epochs"),
    "optimizer": named("optim"),
    "lr_scheduler": named("lr_scheduler_type"),
    "peft_use_dora": named("use_dora"),
    "peft_use_rslora": named("use_rslora"),
    "train_on_inputs": inverted("assistant_only_loss"),
    "lora_target_linear": _linear,
    "val_set_size": unless(0, ASIDE),
    "chat_template": left(TEMPLATE),
    "output_dir": left(RUNS),
}
AXOLOTL = Tool("axolotl", frozenset({"base_model"}), RULES, _unsaid, batch("micro_batch_size", 1))
