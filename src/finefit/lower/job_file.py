"""job.yaml of a plan: the wishes as they were, and every answer pinned.

Knows: which keys mean something beside which, so that the file is read back without a problem. Does not know: rows,
where the plan was made without them: then a comment stands in their place, and a run refuses the file until it is
filled in.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, assert_never

from finefit.nouns.estimate import Estimate
from finefit.nouns.job import Job, MethodName
from finefit.nouns.knobs import Checkpointing, Knobs
from finefit.nouns.method import Full, LoRA, Method, QLoRA
from finefit.nouns.task import DPO
from finefit.units import human_bytes

from .orders import learning_rate_of

NO_ROWS = "# data: rows.jsonl    # fill in: the rows to train on, JSONL with a `messages` list in each"
NO_PAIRS = (
    "# data: rows.jsonl    # fill in: the pairs to train on, JSONL with `prompt`, `chosen` and `rejected` in each"
)
Section = tuple[str, tuple[str, ...]]
SECTIONS: tuple[Section, ...] = (
    ("", ("model", "data", "eval_data", "on_bad_row", "task", "method", "gpu")),
    (
        "the mathematics",
        (
            *("num_train_epochs", "max_steps", "global_batch_size", "learning_rate", "lr_scheduler_type"),
            *("warmup_steps", "weight_decay", "max_grad_norm", "assistant_only_loss", "beta", "lora_r", "lora_alpha"),
            *("lora_dropout", "lora_target_modules", "use_dora", "use_rslora", "bnb_4bit_quant_type"),
            *("bnb_4bit_use_double_quant", "seed"),
        ),
    ),
    (
        "the answers",
        (
            *("max_length", "per_device_train_batch_size", "gradient_accumulation_steps", "gradient_checkpointing"),
            *("dtype", "mixed_precision", "optim", "attn_implementation", "loss", "use_liger_kernel", "packing"),
            *("expandable_segments", "zero_stage", "offload", "fsdp", "freeze_vision_tower"),
            *("vit_gradient_checkpointing", "reference", "reference_bits", "image_size", "images"),
        ),
    ),
    (
        "the run",
        ("logging_steps", "eval_steps", "save_steps", "save_total_limit", "trust_remote_code", "profile_steps"),
    ),
)
"""A comment, and the keys below it. `output_dir` is not repeated: the same job can be run again."""

SWITCHES = (
    *("use_dora", "use_rslora", "use_liger_kernel", "packing", "fsdp", "freeze_vision_tower", "trust_remote_code"),
)
"""Off where nothing is said."""


def pinned(job: Job, choice: Estimate) -> Job:
    """The job, with the choice for an answer to all that it left open. How long rows are, their file says: a plan may
    have guessed it."""
    knobs = choice.knobs
    told = replace(
        job,
        method=_name(choice.method),
        learning_rate=learning_rate_of(job, choice.method),
        gradient_checkpointing=_checkpointing(knobs.gradient_checkpointing),
        max_length=job.max_length if job.data else knobs.max_length,
        **{key: getattr(knobs, key) for key in _alike()},
        **_of_method(choice.method),
    )
    if isinstance(choice.task, DPO):
        return replace(told, reference=choice.task.reference, reference_bits=choice.task.reference_bits)
    return told


def _alike() -> Iterator[str]:
    """Answers that a job and its knobs call by one name."""
    of_job = Job.__dataclass_fields__
    apart = ("gradient_checkpointing", "max_length")
    return (key for key in Knobs.__dataclass_fields__ if key in of_job and key not in apart)


def _name(method: Method) -> MethodName:
    match method:
        case Full():
            return "full"
        case LoRA():
            return "lora"
        case QLoRA(bits=4):
            return "qlora4"
        case QLoRA():
            return "qlora8"
        case _:
            assert_never(method)


def _checkpointing(asked: Checkpointing) -> Any:
    return "none" if asked == 0 else asked


def _of_method(method: Method) -> dict[str, Any]:
    match method:
        case Full() | LoRA():
            return {}
        case QLoRA():  # a checkpoint that is quantised already has words of its own
            return {"bnb_4bit_quant_type": method.quant_type, "bnb_4bit_use_double_quant": method.double_quant}
        case _:
            assert_never(method)


def job_yaml(job: Job, choice: Estimate) -> str:
    """`job`: as `pinned` made it."""
    lines = [_title(choice)]
    for comment, keys in SECTIONS:
        said = {key: _plain(getattr(job, key)) for key in keys if _is_said(job, key)}
        lines += [f"\n# {comment}"] if comment and said else []
        for key, value in said.items():
            lines.append(_line(key, value))
            lines += [_missing(job)] if key == "model" and not job.data else []
    return "\n".join(lines) + "\n"


def _missing(job: Job) -> str:
    return NO_PAIRS if job.task == "dpo" else NO_ROWS


def _title(choice: Estimate) -> str:
    device, name = choice.ledger.device, choice.machine.name
    most = "" if device is None else f": at most {human_bytes(device.high)} of each"
    return f"# The fastest recipe that fits {name}, as `finefit plan` found it{most}. Every answer is pinned."


def _is_said(job: Job, key: str) -> bool:
    value = getattr(job, key)
    if value is None or (key in SWITCHES and not value):
        return False
    match key:
        case "data":
            return bool(job.data)
        case "on_bad_row":
            return bool(job.data) and value != "stop"
        case "images":
            return job.image_size is not None
        case "assistant_only_loss":
            return job.task == "sft"
        case "beta":
            return job.task == "dpo"
    if key.startswith(("lora_", "use_dora", "use_rslora")):
        return job.method != "full"
    return not key.startswith("bnb_4bit_") or job.method == "qlora4"


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _line(key: str, value: Any) -> str:
    import yaml

    listed = yaml.safe_dump([value], allow_unicode=True, width=math.inf, default_flow_style=True)
    return f"{key}: {listed.strip()[1:-1]}"
