"""What any number of layers takes, from a few: against the whole recording, laid out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from finefit.api import method_of
from finefit.estimate.pace.lines import work_lines
from finefit.estimate.pace.pace import pace_of, work_of
from finefit.nouns.job import Job
from finefit.nouns.knobs import Checkpointing
from finefit.nouns.machine import Machine
from finefit.rehearsal.few import Rehearsals
from finefit.search.candidates import Asked
from finefit.tape.affine import lines_of
from finefit.tape.digest import Read
from finefit.tape.peaks import CUDA_BLOCK_BYTES, phase_peaks
from finefit.world.gpus import machine_named
from finefit.world.models import find_model

MACHINE: Machine = machine_named("A100-80GB")
CASES = [
    ("llama-3.1-8b", "lora", 3, 1777),
    ("Qwen/Qwen2.5-0.5B", "qlora4", 2, 1024),
    ("llama-3.2-1b", "full", 5, 640),
    ("Qwen/Qwen3-30B-A3B", "lora", 1, 512),
]


@pytest.mark.parametrize(("name", "method", "batch", "length"), CASES)
def test_few_layers_tell_the_peak_and_the_time_of_all(name: str, method: str, batch: int, length: int) -> None:
    """To the byte, whatever number of layers is checkpointed; and the same seconds."""
    model = find_model(name)
    job = Job(model=name, data="", method=method, max_length=length, global_batch_size=2 * batch)  # type: ignore[arg-type]
    asked = Asked(job, method_of(job), model, MACHINE)
    rehearsals = Rehearsals(model, MACHINE, print)
    some: tuple[Checkpointing, ...] = ("all", 0, 5, model.layers // 2, model.layers - 4)
    for checkpointing in some:
        knobs, engine = asked.knobs(batch, checkpointing)
        few, whole = rehearsals.few(asked.method, knobs, engine), rehearsals.whole(asked.method, knobs, engine)
        assert few is not None
        assert whole is not None
        count = model.layers if checkpointing == "all" else checkpointing
        parts = {letter: count if letter.isupper() else model.layers - count for letter in few[0].letters}
        lines = lines_of(few[0])
        assert lines is not None
        assert lines.peak(parts) == phase_peaks(whole[0], CUDA_BLOCK_BYTES)["peak"]
        told, setup = work_of(whole[0], whole[1], model.layers), few[1]
        seconds = pace_of(work_lines(*few).work(parts), setup).step_seconds
        assert seconds == pytest.approx(pace_of(told, setup).step_seconds, rel=1e-9)


def test_layers_that_are_no_more_of_the_same_have_no_lines() -> None:
    """Rather none than wrong ones: one more layer that makes other places is not one more of the same."""
    model = find_model("llama-3.2-1b")
    asked = Asked(Job(model="llama-3.2-1b", data="", max_length=256), method_of(Job(model="", data="")), model, MACHINE)
    found = Rehearsals(model, MACHINE, print).few(asked.method, *asked.knobs(1, "all"))
    assert found is not None
    few = found[0]
    other = replace(few.base.recording, marks=few.base.recording.marks[:-3])
    assert lines_of(replace(few, more={"A": Read(other)})) is None
