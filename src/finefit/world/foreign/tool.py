"""What a table of another tool's keys is made of: rules, which make of an entry other entries, or say why not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from finefit.nouns.hub_rows import NOTATION, HubRows, hub_rows
from finefit.nouns.job import Tracker
from finefit.world.entries import Entry


@dataclass(frozen=True)
class Left:
    """Why an entry is not taken over."""

    why: str


@dataclass(frozen=True)
class Wrong:
    """What cannot be trained so."""

    what: str
    hint: str = ""


Rule = Callable[[Entry], Iterator[Entry | Left | Wrong]]
Values = Mapping[str, Any]
"""By the tool's keys."""


@dataclass(frozen=True)
class Tool:
    name: str
    # with the version that was read
    marks: frozenset[str]
    # keys of which its files have one, and those of tools after it none
    rules: Mapping[str, Rule]
    unsaid: Callable[[Values, Mapping[str, Entry]], Values]
    # from what a file says, and what was read of it: what the tool does besides, in a job's keys
    batch: Callable[[Values], Any]
    # sequences of one GPU in one step
    joined: Callable[[Mapping[str, Entry]], Mapping[str, Entry]] = lambda given: given
    # what several of its keys say together, as the entry of one


DECIDED = "a plan decides it"
TRACKED = "--report-to wandb, mlflow or tensorboard; projects and names by the tracker's own variables"
RUNS = "runs lie in runs/, or where --output-dir says"
ASIDE = "rows are never set aside by chance: --eval-data FILE"
TEMPLATE = "rows are written by the model's own chat template"
"""Reasons that many keys share."""


def named(key: str) -> Rule:
    def rule(entry: Entry) -> Iterator[Entry]:
        yield replace(entry, key=key)

    return rule


def left(why: str) -> Rule:
    def rule(_: Entry) -> Iterator[Left]:
        yield Left(why)

    return rule


def nothing(_: Entry) -> Iterator[Entry]:
    """It changes nothing, and needs no word."""
    return iter(())


def unless(usual: Any, why: str) -> Rule:
    """Left, where it is not as it would be anyway."""

    def rule(entry: Entry) -> Iterator[Left]:
        if entry.value != usual:
            yield Left(why)

    return rule


def valued(key: str, values: Mapping[Any, Any], hint: str = "") -> Rule:
    """By value; what is not listed cannot be trained. A listed None is as things are anyway."""

    def rule(entry: Entry) -> Iterator[Entry | Wrong]:
        if entry.value not in values:
            yield Wrong(f"{entry.value} is not trained by finefit", hint or f"one of {', '.join(map(str, values))}")
        elif values[entry.value] is not None:
            yield replace(entry, key=key, value=values[entry.value])

    return rule


def inverted(key: str) -> Rule:
    def rule(entry: Entry) -> Iterator[Entry]:
        yield replace(entry, key=key, value=not entry.value)

    return rule


def a_file(key: str, names: Callable[[Entry], list[str]]) -> Rule:
    """One data file that is there: from the folder of the configuration or, as tools are started, from here; or
    rows that a hub may have, which is asked later."""

    def rule(entry: Entry) -> Iterator[Entry | Wrong]:
        match names(entry):
            case [name]:
                found = [str(base / name) for base in (entry.base, Path.cwd()) if (base / name).is_file()]
                if found or hub_rows(name) is not None:
                    yield replace(entry, key=key, value=found[0] if found else name)
                else:
                    hint = f"{option(key)} FILE, or rows of the hub: {NOTATION}"
                    yield Wrong(f"{name} is no file that is here", hint)
            case several:
                hint = f"one file of all of them, {option(key)} FILE"
                yield Wrong(f"{len(several)} data sets: finefit trains on one file", hint)

    return rule


def of_hub(name: Any, config: Any = None, split: Any = None, revision: Any = None) -> str:
    """A data set as a job names it; a file's name as it is."""
    found = hub_rows(str(name))
    if found is None:
        return str(name)
    return str(HubRows(found.id, *(None if value is None else str(value) for value in (config, split, revision))))


def option(key: str) -> str:
    return f"--{key.replace('_', '-')}"


def each(rule: Rule, names: str) -> dict[str, Rule]:
    """One rule for several keys, which are the words of `names`."""
    return dict.fromkeys(names.split(), rule)


def _precision(name: str) -> Rule:
    return valued("mixed_precision", {True: name, "true": name, "auto": None, False: None, "false": None})


PRECISION: dict[str, Rule] = {"bf16": _precision("bf16"), "fp16": _precision("fp16")}


def _tracker(entry: Entry) -> Iterator[Entry | Left]:
    if entry.value in get_args(Tracker):
        yield entry
    else:
        yield Left(f"one of {', '.join(get_args(Tracker))}")


SAME = """learning_rate num_train_epochs max_steps lr_scheduler_type weight_decay max_grad_norm seed logging_steps
    eval_steps save_steps save_total_limit optim warmup_steps warmup_ratio trust_remote_code use_liger_kernel"""
OPEN = """gradient_checkpointing gradient_checkpointing_kwargs use_reentrant_gc deepspeed fsdp fsdp_config
    attn_implementation"""
QUIET = """do_train do_eval do_predict overwrite_output_dir ddp_timeout ddp_find_unused_parameters
    dataloader_num_workers per_device_train_batch_size gradient_accumulation_steps per_device_eval_batch_size
    save_strategy save_only_model save_safetensors logging_first_step logging_strategy log_level disable_tqdm
    remove_unused_columns include_num_input_tokens_seen push_to_hub eval_on_start"""
"""The batch's two are read by `TRAINERS_BATCH`."""
TRAINER: dict[str, Rule] = {
    **{key: named(key) for key in SAME.split()},
    **each(left(DECIDED), OPEN),
    **each(nothing, QUIET),
    **PRECISION,
    "output_dir": left(RUNS),
    "report_to": _tracker,
    "run_name": left("a run is named as its folder"),
    "eval_strategy": unless("no", "held-out rows are evaluated before and after training, and every eval_steps"),
}
"""Of transformers' TrainingArguments (5.23), which several tools hand on."""


def batch(micro: str, usual: int) -> Callable[[Values], Any]:
    """Sequences of a GPU in a step, by the key of its micro-batch; without a word, `usual` sequences in one."""
    return lambda values: _whole(values.get(micro, usual)) * _whole(values.get("gradient_accumulation_steps", 1))


def _whole(value: Any) -> int:
    """0 of what is no number: the value itself is told as wrong where it is read."""
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


TRAINERS_BATCH = batch("per_device_train_batch_size", 8)
