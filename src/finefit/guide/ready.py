"""A recipe as a job file that runs it."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from finefit.nouns.estimate import Estimate
from finefit.nouns.job import Job
from finefit.nouns.method import Full
from finefit.search.advice import pinned

ALWAYS = ("model", "data", "method", "gpu", "global_batch_size", "max_length")
DATA = "train.jsonl"


def job_file(job: Job, estimate: Estimate, method: str) -> str:
    """What differs from a job's defaults, and what nobody should have to guess."""
    import yaml

    wanted = pinned(job, method, estimate.knobs)
    text: str = yaml.safe_dump(_keys(wanted, estimate), sort_keys=False, allow_unicode=True)
    return text


def _keys(job: Job, estimate: Estimate) -> dict[str, Any]:
    knobs = estimate.knobs
    ranks = estimate.machine.count
    own = {
        "data": job.data or DATA,
        "gpu": estimate.machine.name,
        "global_batch_size": knobs.per_device_train_batch_size * knobs.gradient_accumulation_steps * ranks,
        "dtype": knobs.dtype,
        "mixed_precision": knobs.mixed_precision,
        "attn_implementation": knobs.attn_implementation,
    }
    values = {field.name: own.get(field.name, getattr(job, field.name)) for field in fields(job)}
    usual = {field.name: field.default for field in fields(Job)}
    kept = {name: value for name, value in values.items() if name in ALWAYS or value != usual[name]}
    for name in ("offload",) if knobs.zero_stage is None and not knobs.fsdp else ():
        kept.pop(name, None)
    if isinstance(estimate.method, Full):
        kept = {name: value for name, value in kept.items() if not name.startswith(("lora_", "bnb_"))}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in kept.items()}
