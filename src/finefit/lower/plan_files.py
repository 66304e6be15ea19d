"""All files of a plan: the job with its answers, what DeepSpeed and accelerate are told, the script, and its start."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from finefit.nouns.engine import FSDP2, DeepSpeed, is_plain
from finefit.nouns.estimate import Estimate
from finefit.nouns.files import Files
from finefit.nouns.formats import Format
from finefit.nouns.job import Job
from finefit.nouns.knobs import Knobs
from finefit.nouns.loop import Loop
from finefit.nouns.method import Full, QLoRA
from finefit.nouns.task import Generate
from finefit.search.engine import of_one_rank

from .accelerate import ACCELERATE, DS_CONFIG, MIXED, SCRIPT, accelerate_config, launch_line, trainer_words
from .deepspeed import ds_config
from .job_file import job_yaml
from .orders import job_orders
from .preferences import task_orders
from .rows import with_rows
from .script import script

JOB, LAUNCH = "job.yaml", "launch.txt"
SEES = "train.py is left out: how a standalone script trains a model that sees is not written yet"
SKIPS = "train.py checks no rows, and leaves none out, as on_bad_row says: fill in DATA in train.py"
NO_ROWS = "no rows are named yet: fill in `data` in job.yaml, and DATA in train.py"


def files_of(
    job: Job,
    choice: Estimate,
    weights: str,
    format: Format | None = None,
    rows: tuple[str, str | None] | None = None,
) -> Files:
    """`job`: as `pinned` made it; `weights`: where a script finds them, a folder or a hub id; `format`: of the job's
    rows, None where it has none or a script cannot read them; `rows`: where these are, if the job names rows of the
    hub."""
    sees = "vision_config" in choice.model.config
    launch = "" if sees else launch_line(choice.engine)
    texts = {JOB: job_yaml(job, choice), **_engine_files(job, choice)}
    if not sees:
        data, eval_data = ("", None) if format is None else rows or (job.data, job.eval_data)
        told = replace(job, data=data, eval_data=eval_data)
        texts |= {SCRIPT: _script(told, choice, weights, launch, format), LAUNCH: launch + "\n"}
    unread = (SKIPS,) if job.data and format is None and not sees else ()
    notes = ((SEES,) if sees else ()) + (() if job.data else (NO_ROWS,)) + unread
    return Files(texts, launch, notes)


def _engine_files(job: Job, choice: Estimate) -> dict[str, str]:
    import yaml

    engine, (knobs, _) = choice.engine, _computed_in(choice)
    if engine is None:
        return {}
    texts = {ACCELERATE: yaml.safe_dump(accelerate_config(engine, knobs.mixed_precision), sort_keys=False)}
    if isinstance(engine, DeepSpeed):
        texts[DS_CONFIG] = json.dumps(ds_config(engine, knobs, job.max_grad_norm), indent=2) + "\n"
    return texts


def _script(job: Job, choice: Estimate, weights: str, launch: str, format: Format | None) -> str:
    return script(script_orders(job, choice, weights, format), trainer_words(choice.engine), launch)


def script_orders(job: Job, choice: Estimate, weights: str, format: Format | None = None) -> Mapping[str, Any]:
    """What a run of finefit's own is told, where it has one rank; else what each rank is told, whose engine computes in
    one dtype."""
    assert not isinstance(choice.task, Generate)
    (knobs, loop), method = _computed_in(choice), choice.method
    orders = job_orders(job, choice.model, method, knobs, choice.machine)
    orders["model"] |= {"folder": weights, "prepare": loop.kbit_preparation}
    if loop.adapter_dtype is not None and not isinstance(method, Full):
        orders["adapter_dtype"] = loop.adapter_dtype
    if isinstance(choice.engine, FSDP2) and isinstance(method, QLoRA):  # bytes are not divided, halves are
        orders["model"]["quantization"] |= {"bnb_4bit_quant_storage": knobs.dtype}
    orders = orders if format is None else with_rows(orders, format, {})
    return orders | task_orders(choice.task, choice.model, method, knobs)


def _computed_in(choice: Estimate) -> tuple[Knobs, Loop]:
    """Of each rank: an engine computes in one half, which transformers' `bf16` and `fp16` tell it."""
    engine, knobs = choice.engine, choice.knobs
    alone, loop = of_one_rank(engine, knobs, Loop())
    if is_plain(engine):
        return knobs, loop
    return replace(knobs, dtype=alone.dtype, mixed_precision=MIXED[alone.dtype]), loop
