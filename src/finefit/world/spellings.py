"""Other projects' names for our keys, and keys that come later. Each one that is read is named in a note."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

from finefit.errors import Problem, nearest

from .entries import Entry

OLD = {
    "base_model": "model",
    "model_name_or_path": "model",
    "model_name": "model",
    "model_id": "model",
    "dataset": "data",
    "data_path": "data",
    "train_file": "data",
    "eval_file": "eval_data",
    "validation_file": "eval_data",
    "finetuning_type": "method",
    "adapter": "method",
    "epochs": "num_train_epochs",
    "num_epochs": "num_train_epochs",
    "lr": "learning_rate",
    "lr_scheduler": "lr_scheduler_type",
    "warmup_ratio": "warmup_steps",
    "optimizer": "optim",
    "batch_size": "per_device_train_batch_size",
    "micro_batch_size": "per_device_train_batch_size",
    "per_gpu_train_batch_size": "per_device_train_batch_size",
    "gradient_accumulation": "gradient_accumulation_steps",
    "grad_accum": "gradient_accumulation_steps",
    "activation_checkpointing": "gradient_checkpointing",
    "max_seq_length": "max_length",
    "max_seq_len": "max_length",
    "sequence_len": "max_length",
    "model_max_length": "max_length",
    "cutoff_len": "max_length",
    "lora_rank": "lora_r",
    "lora_target": "lora_target_modules",
    "lora.r": "lora_r",
    "lora.rank": "lora_r",
    "lora.alpha": "lora_alpha",
    "lora.lora_alpha": "lora_alpha",
    "lora.dropout": "lora_dropout",
    "lora.lora_dropout": "lora_dropout",
    "lora.target_modules": "lora_target_modules",
    "torch_dtype": "dtype",
    "use_liger": "use_liger_kernel",
    "pref_beta": "beta",
    "sample_packing": "packing",
    "neat_packing": "packing",
    "out_dir": "output_dir",
}

QUANTIZED = ("qlora4", "qlora8")

SWITCHES: dict[tuple[str, bool], tuple[str, str] | None] = {
    ("use_lora", True): ("method", "lora"),
    ("use_lora", False): ("method", "full"),
    ("use_4bit", True): ("method", "qlora4"),
    ("load_in_4bit", True): ("method", "qlora4"),
    ("use_8bit", True): ("method", "qlora8"),
    ("load_in_8bit", True): ("method", "qlora8"),
    ("use_4bit", False): None,
    ("load_in_4bit", False): None,
    ("use_8bit", False): None,
    ("load_in_8bit", False): None,
    ("bf16", True): ("mixed_precision", "bf16"),
    ("fp16", True): ("mixed_precision", "fp16"),
    ("bf16", False): None,
    ("fp16", False): None,
    ("gradient_checkpointing", True): ("gradient_checkpointing", "all"),
    ("gradient_checkpointing", False): ("gradient_checkpointing", "none"),
    ("mixed_precision", False): ("mixed_precision", "no"),  # YAML 1.1 reads a bare `no` as false
    ("no_deepspeed", True): None,
    ("no_packing", True): ("packing", "false"),
    ("no_expandable_segments", True): ("expandable_segments", "false"),
    ("no_vit_gradient_checkpointing", True): ("vit_gradient_checkpointing", "false"),
    ("precompute_ref_log_probs", True): ("reference", "precomputed"),
    ("precompute_ref_log_probs", False): None,
    ("fsdp", False): None,
}
"""Switches and what they mean; None: how things are anyway."""

FLAGS = frozenset(key for key, _ in SWITCHES if key not in ("gradient_checkpointing", "mixed_precision")) | {
    "assistant_only_loss",
    "base",
    "expandable_segments",
    "freeze_vision_tower",
    "from_scratch",
    "packing",
    "trust_remote_code",
    "use_dora",
    "use_liger_kernel",
    "use_rslora",
    "vit_gradient_checkpointing",
}
"""Keys that mean true where an option gives no value."""

LATER_KEYS = frozenset(
    [
        "deepspeed",
        "num_gpus",
        "num_nodes",
    ]
)
LATER_VALUES = {
    "method": ("auto",),
}
"""What this version does not do yet, and a later one will."""

WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
"""How options say what YAML says with true and false."""


@dataclass(frozen=True)
class Spelled:
    """Entries in today's keys, each key once."""

    entries: dict[str, Entry]
    notes: tuple[str, ...]
    problems: tuple[Problem, ...]


def spelled(entries: Iterable[Entry], known: Collection[str]) -> Spelled:
    """`known` are today's keys that may be given here."""
    read: dict[str, Entry] = {}
    notes: list[str] = []
    problems: list[Problem] = []
    for entry in entries:
        today = _today(entry)
        if today is None:
            notes.append(f"{entry.where}: that is how it is in this version")
            continue
        if {today.key} <= {"method"} & read.keys() and _says_more(today, read["method"]):
            notes.append(_note(entry, today))
            read["method"] = today if today.value in QUANTIZED else read["method"]
            continue
        problem = _later(today) or _unknown(today, known) or _twice(today, read)
        if problem is not None:
            problems.append(problem)
            continue
        read[today.key] = today
        if today.key != entry.key or (today != entry and entry.key != "mixed_precision"):
            notes.append(_note(entry, today))
    return Spelled(read, tuple(notes), tuple(problems))


def _today(entry: Entry) -> Entry | None:
    """The entry in today's words; None where it says how things are anyway."""
    switch = (entry.key, _truth(entry.value))
    if switch in SWITCHES:
        meant = SWITCHES[switch]
        return None if meant is None else replace(entry, key=meant[0], value=meant[1])
    today = replace(entry, key=OLD.get(entry.key, entry.key))
    return replace(today, value="qlora4") if (today.key, today.value) == ("method", "qlora") else today


def _says_more(one: Entry, other: Entry) -> bool:
    """`use_lora` and `use_4bit` together mean adapters beside quantised weights; `qlora` and `load_in_4bit` mean that
    twice."""
    values = [one.value, other.value]
    return one.value == other.value in QUANTIZED or ("lora" in values and any(value in QUANTIZED for value in values))


def _truth(value: Any) -> Any:
    if isinstance(value, str):
        return WORDS.get(value.lower())
    return value if isinstance(value, bool) else None


def _later(entry: Entry) -> Problem | None:
    if entry.key in LATER_KEYS:
        return Problem(f"{entry.key} comes in a later version", where=entry.where)
    if str(entry.value) in LATER_VALUES.get(entry.key, ()):
        here = {"method": "qlora4, lora or full"}[entry.key]
        return Problem(f"{entry.key} {entry.value} comes in a later version", where=entry.where, hint=here)
    return None


def _unknown(entry: Entry, known: Collection[str]) -> Problem | None:
    if entry.key in known:
        return None
    near = nearest(entry.key, [*known, *(old for old, new in OLD.items() if new in known)])
    if entry.where.startswith("--"):
        return Problem("unknown option", where=entry.where, hint=near.replace("_", "-").replace("'", "'--", 1))
    return Problem("unknown key", where=entry.where, hint=near)


def _twice(entry: Entry, read: dict[str, Entry]) -> Problem | None:
    if entry.key not in read:
        return None
    return Problem("given twice", where=entry.where, why=f"also at {read[entry.key].where}")


def _note(entry: Entry, today: Entry) -> str:
    return f"{entry.where}: read as {today.key}" + ("" if today.value == entry.value else f" {today.value}")
