"""Configurations of other tools as jobs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from finefit.errors import BadInput
from finefit.nouns.job import Job
from finefit.world.entries import Entry
from finefit.world.fields import KEYS
from finefit.world.foreign import TOOLS
from finefit.world.foreign.trl import ADAPTERS, UNSAID
from finefit.world.jobs import ReadJob, read_job
from finefit.world.spellings import OLD, SWITCHES

AXOLOTL: dict[str, Any] = {
    "base_model": "gpt2",
    "load_in_8bit": False,
    "load_in_4bit": True,
    "adapter": "qlora",
    "datasets": [{"path": "rows.jsonl", "type": "chat_template"}],
    "val_set_size": 0.05,
    "sequence_len": 512,
    "lora_r": 8,
    "lora_alpha": 16,
    "lora_target_linear": True,
    "micro_batch_size": 2,
    "gradient_accumulation_steps": 4,
    "num_epochs": 3,
    "optimizer": "adamw_torch",
    "lr_scheduler": "cosine",
    "learning_rate": 0.0002,
    "train_on_inputs": False,
    "bf16": "auto",
    "flash_attention": True,
    "wandb_project": None,
    "loraplus_lr_ratio": 16,
}
FACTORY: dict[str, Any] = {
    "model_name_or_path": "gpt2",
    "stage": "sft",
    "do_train": True,
    "finetuning_type": "lora",
    "quantization_bit": 8,
    "lora_rank": 4,
    "lora_target": "all",
    "dataset": "mine",
    "template": "llama3",
    "per_device_train_batch_size": 1,
    "gradient_accumulation_steps": 8,
    "learning_rate": 1e-4,
    "warmup_ratio": 0.1,
    "neat_packing": True,
}
TRL: dict[str, Any] = {
    "report_to": "tensorboard",
    "model_name_or_path": "gpt2",
    "dataset_name": "rows.jsonl",
    "use_peft": True,
    "load_in_4bit": True,
}


def read(folder: Path, config: Mapping[str, Any], **options: str) -> ReadJob:
    (folder / "rows.jsonl").write_text("")
    (folder / "data").mkdir(exist_ok=True)
    (folder / "data" / "mine.json").write_text("")
    (folder / "data" / "dataset_info.json").write_text(json.dumps(LISTED | {"mine": {"file_name": "mine.json"}}))
    (folder / "other.yaml").write_text(yaml.safe_dump(dict(config), sort_keys=False))
    return read_job(folder / "other.yaml", {"gpu": "cpu", **options}, is_foreign=True)


def told(job: Job) -> dict[str, Any]:
    """What is not as in any job."""
    usual = Job(model="", data="")
    return {
        field.name: value for field in fields(Job) if (value := getattr(job, field.name)) != getattr(usual, field.name)
    }


def test_axolotl_is_read(tmp_path: Path) -> None:
    """What means the same; the batch is the product; what a plan decides is left to it."""
    found = told(read(tmp_path, AXOLOTL).job)
    assert found == {
        "model": "gpt2",
        "data": str(tmp_path / "rows.jsonl"),
        "method": "qlora4",
        "gpu": "cpu",
        "num_train_epochs": 3.0,
        "global_batch_size": 8,
        "learning_rate": 0.0002,
        "lora_r": 8,
        "lora_alpha": 16,
        "max_length": 512,
        "optim": "adamw_torch",
    }


ADAPTERS_ARE = {"axolotl": "peft_use_", "factory": "use_", "trl": "use_"}


@pytest.mark.parametrize("name", ADAPTERS_ARE)
def test_dora_and_rslora_are_taken_over(tmp_path: Path, name: str) -> None:
    """By the names that each tool has for PEFT's two switches; off means off beside full fine-tuning too."""
    config = {"axolotl": AXOLOTL, "factory": FACTORY, "trl": TRL}[name]
    on = {f"{ADAPTERS_ARE[name]}{key}": True for key in ("dora", "rslora")}
    job = read(tmp_path, {**config, **on}, gpu="RTX4090").job
    assert (job.use_dora, job.use_rslora) == (True, True)
    full = {"model_name_or_path": "gpt2", "dataset_name": "rows.jsonl", "use_peft": False, "use_dora": False}
    assert read(tmp_path, full).job.method == "full"


def test_axolotl_without_an_adapter_trains_everything(tmp_path: Path) -> None:
    """And a batch is that of all GPUs."""
    gone = ("adapter", "load_in_4bit", "lora_r", "lora_alpha", "lora_target_linear")
    config = {key: value for key, value in AXOLOTL.items() if key not in gone}
    job = read(tmp_path, config, gpu="2xRTX4090").job
    assert (job.method, job.global_batch_size) == ("full", 16)


def test_llama_factory_is_read_with_its_own_defaults(tmp_path: Path) -> None:
    """A data set by its list of them; what the file does not say is as it is there."""
    found = told(read(tmp_path, FACTORY).job)
    assert found == {
        "model": "gpt2",
        "data": str(tmp_path / "data" / "mine.json"),
        "method": "qlora8",
        "gpu": "cpu",
        "num_train_epochs": 3.0,
        "global_batch_size": 8,
        "learning_rate": 1e-4,
        "lr_scheduler_type": "linear",
        "warmup_steps": 0.1,
        "lora_r": 4,
        "lora_alpha": 8,
        "max_length": 2048,
        "packing": True,
    }


def test_trl_is_read_with_its_own_defaults(tmp_path: Path) -> None:
    found = told(read(tmp_path, TRL).job)
    assert found == {
        "model": "gpt2",
        "data": str(tmp_path / "rows.jsonl"),
        "method": "qlora4",
        "gpu": "cpu",
        "num_train_epochs": 3.0,
        "global_batch_size": 8,
        "learning_rate": 2e-5,
        "lr_scheduler_type": "linear",
        "warmup_steps": 0.0,
        "assistant_only_loss": False,
        "report_to": "tensorboard",
        "lora_dropout": 0.05,
        "bnb_4bit_use_double_quant": False,
        "max_length": 1024,
    }


def test_the_defaults_are_those_of_the_trl_that_is_installed() -> None:
    """Of SFTConfig and ModelConfig."""
    trl = pytest.importorskip("trl")
    installed = {field.name: field.default for config in (trl.ModelConfig, trl.SFTConfig) for field in fields(config)}
    assert {key: installed[key] for key in UNSAID | ADAPTERS} == UNSAID | ADAPTERS
    assert (installed["per_device_train_batch_size"], installed["gradient_accumulation_steps"]) == (8, 1)
    assert (installed["warmup_steps"], installed["use_bnb_nested_quant"], installed["use_peft"]) == (0, False, False)


@pytest.mark.parametrize("config", [AXOLOTL, FACTORY, TRL], ids=["axolotl", "factory", "trl"])
def test_options_win(tmp_path: Path, config: dict[str, Any]) -> None:
    """Over the file, and over what the tool has by default."""
    job = read(tmp_path, config, learning_rate="0.5", max_length="77", global_batch_size="6").job
    assert (job.learning_rate, job.max_length, job.global_batch_size) == (0.5, 77, 6)


def test_nothing_is_left_without_a_word(tmp_path: Path) -> None:
    """Neither what a plan decides, nor what is not known."""
    notes = "\n".join(read(tmp_path, AXOLOTL).notes)
    for key in ("val_set_size", "flash_attention", "loraplus_lr_ratio", "type chat_template"):
        assert any(key in line and "not taken over" in line for line in notes.splitlines()), key
    assert "wandb_project" not in notes  # it is empty, as if it were not there


HUB = {"path": "org/rows", "name": "plain", "split": "train[:90%]", "type": "chat_template"}
LISTED = {"theirs": {"hf_hub_url": "org/rows", "subset": "plain"}}
SPLIT = {"dataset_config": "plain", "dataset_train_split": "train_sft", "eval_strategy": "steps"}
OF_HUB = [
    (AXOLOTL | {"datasets": [HUB]}, "org/rows:plain:train[:90%]", None),
    (AXOLOTL | {"datasets": [{"path": "org/rows"}], "test_datasets": [{"path": "org/rows", "split": "val"}]},
     "org/rows", "org/rows:val"),
    (FACTORY | {"dataset": "theirs"}, "org/rows:plain:train", None),
    (TRL | {"dataset_name": "org/rows"} | SPLIT, "org/rows:plain:train_sft", "org/rows:plain:test"),
    (TRL | {"dataset_name": "org/rows"}, "org/rows:train", None),
]  # fmt: skip


@pytest.mark.parametrize(("config", "data", "eval_data"), OF_HUB)
def test_rows_of_the_hub_are_named_as_a_job_names_them(
    tmp_path: Path, config: dict[str, Any], data: str, eval_data: str | None
) -> None:
    """With the config, the split and the held-out split that the tool reads; what is here wins."""
    job = read(tmp_path, config).job
    assert (job.data, job.eval_data) == (data, eval_data)
    (tmp_path / "org").mkdir()
    (tmp_path / "org" / "rows").write_text("")
    assert read(tmp_path, AXOLOTL | {"datasets": [{"path": "org/rows"}]}).job.data == str(tmp_path / "org" / "rows")


WRONG = [
    (AXOLOTL | {"datasets": [{"path": "a"}, {"path": "b"}]}, "2 data sets"),
    (AXOLOTL | {"datasets": [{"path": "alpaca"}]}, "alpaca is no file that is here"),
    (AXOLOTL | {"rl": "kto"}, "kto is not trained by finefit"),
    (AXOLOTL | {"lora_r": "many"}, "other.yaml:10: lora_r: 'many' is not a whole number"),
    (FACTORY | {"finetuning_type": "freeze"}, "freeze is not trained by finefit"),
    (FACTORY | {"dataset": "mine,yours"}, "2 data sets"),
    (FACTORY | {"quantization_bit": 3}, "3 bits are not trained beside"),
    (TRL | {"learning_rate": -1}, "learning_rate: -1 is out of range"),
    ({"model": "gpt2"}, "is no configuration of axolotl, LLaMA-Factory, TRL"),
]


@pytest.mark.parametrize(("config", "message"), WRONG)
def test_what_cannot_be_trained_is_refused(tmp_path: Path, config: dict[str, Any], message: str) -> None:
    """With the place in the other tool's file."""
    with pytest.raises(BadInput) as caught:
        read(tmp_path, config)
    assert message in "\n".join(str(problem) for problem in caught.value.problems)


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_no_rule_makes_a_key_that_a_job_does_not_have(tool: Any, tmp_path: Path) -> None:
    """Neither by its own name, nor by another's."""
    known = {*KEYS, *OLD, *(key for key, _ in SWITCHES)}
    for name, rule in tool.rules.items():
        for value in (True, 4, "lora", "sft", "bfloat16", "all"):
            found = rule(Entry(name, name, value, name, tmp_path))
            assert {one.key for one in found if isinstance(one, Entry)} <= known, name
