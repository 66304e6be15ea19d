"""The switch of the allocator, in a job file and as options that win over it."""

from __future__ import annotations

from pathlib import Path

import pytest

from finefit.errors import BadInput
from finefit.search.choice import choose
from finefit.world.gpus import machine_named
from finefit.world.jobs import read_job

ROW = '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n'


@pytest.fixture
def job_file(tmp_path: Path) -> Path:
    (tmp_path / "rows.jsonl").write_text(ROW)
    path = tmp_path / "job.yaml"
    path.write_text("model: gpt2\ndata: rows.jsonl\ngpu: T4\nexpandable_segments: true\n")
    return path


@pytest.mark.parametrize(
    ("options", "on"),
    [
        ({}, True),
        ({"no-expandable-segments": "true"}, False),
        ({"expandable-segments": "false"}, False),
        ({"expandable-segments": "true"}, True),
    ],
)
def test_a_switch_may_be_turned_either_way(job_file: Path, options: dict[str, str], on: bool) -> None:
    """What is said last is the knob."""
    job = read_job(job_file, options).job
    assert job.expandable_segments is on
    assert choose(job, machine_named(job.gpu)).expandable_segments is on


def test_a_processor_has_no_segments(job_file: Path) -> None:
    """On is refused there; off, and nothing said, are how it is."""
    with pytest.raises(BadInput, match="no caching allocator"):
        read_job(job_file, {"gpu": "cpu"})
    assert read_job(job_file, {"gpu": "cpu", "no-expandable-segments": "true"}).job.expandable_segments is False
