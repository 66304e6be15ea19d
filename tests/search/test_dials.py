"""What a search may turn."""

from __future__ import annotations

from typing import Any

import pytest

from finefit.nouns.job import Job
from finefit.search.dials import engines
from finefit.world.gpus import machine_named

DIVIDING = {"3", "3 all", "fsdp"}


@pytest.mark.parametrize(
    ("asked", "lacks"),
    [
        ({"method": "lora"}, set()),
        ({"method": "lora", "image_size": "64x64"}, {"fsdp"}),
        ({"method": "qlora8"}, DIVIDING),
        ({"task": "dpo", "method": "lora"}, set()),
        ({"task": "dpo", "method": "full"}, {"fsdp"}),
        ({"task": "dpo", "method": "lora", "reference": "model", "reference_bits": 4}, DIVIDING),
        ({"task": "dpo", "method": "full", "reference": "precomputed"}, DIVIDING),
    ],
)
def test_no_engine_is_asked_that_does_not_go_with_the_job(asked: dict[str, Any], lacks: set[str]) -> None:
    """Engines of two GPUs, by what they divide and offload; those that a job refuses are not weighed either."""
    groups = engines(Job(model="m", data="", **asked), machine_named("2xRTX4090"))
    found = {_name(job) for _, jobs in groups for job in jobs}
    assert found == {"ddp", "1", "2", "2 optimizer", *DIVIDING} - lacks


def test_rows_that_show_images_are_not_divided_by_fsdp() -> None:
    """Whatever else their job leaves open."""
    job, machine = Job(model="m", data=""), machine_named("2xRTX4090")
    usual, seeing = ({_name(one) for _, jobs in engines(job, machine, shows=each) for one in jobs} for each in (0, 1))
    assert usual - seeing == {"fsdp"}


def _name(job: Job) -> str:
    if job.fsdp:
        return "fsdp"
    stage = "ddp" if job.zero_stage is None else str(job.zero_stage)
    return f"{stage} {job.offload}" if job.offload else stage
