"""Steps under torch's profiler, in real runs of a tiny model."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.cuda import memory

from finefit.errors import BadInput
from finefit.lower.profiling import profiled
from finefit.nouns.steps import step_range
from finefit.run.events import read_events, steady_laps
from finefit.worker.events import Events
from finefit.worker.profiled import profilers
from finefit.worker.progress import Progress, resident_memory

Runs = Callable[..., Any]


def names_in(path: Path) -> list[str]:
    return [event["name"] for event in json.loads(path.read_text())["traceEvents"] if "name" in event]


@pytest.fixture(scope="module")
def run(new_run: Runs) -> Any:
    """Stopped behind the profiled steps, and gone on with."""
    run = new_run(profile={"first": 4, "last": 5}, save_steps=3, max_steps=9)
    run.kill_when(lambda: run.at_step(7))
    assert [path.name for path in (run.path / "profile").iterdir()] == ["steps-4-5.json"]
    run.written = (run.path / "profile" / "steps-4-5.json").stat().st_mtime_ns
    assert run.finish(resume=True) == 0, run.log.read_text()
    return run


def test_a_trace_has_its_steps_operations_and_no_other_steps(run: Any) -> None:
    """By their numbers; forward, backward and the optimizer of each."""
    names = names_in(run.path / "profile" / "steps-4-5.json")
    spans = [name for name in names if name.startswith("optimizer step")]
    assert sorted(set(spans)) == ["optimizer step 4", "optimizer step 5"]
    for operation in ("aten::linear", "aten::embedding", "autograd::engine::evaluate_function"):
        assert any(name.startswith(operation) for name in names), operation
    assert sum(name.startswith("Optimizer.step#") for name in names) == 2


def test_a_run_that_goes_on_behind_them_profiles_nothing(run: Any) -> None:
    """Its trace is the first process's."""
    assert [event["resumed_from"] for event in run.events("started")] == [0, 6]
    assert len(run.events("profiled")) == 1
    assert (run.path / "profile" / "steps-4-5.json").stat().st_mtime_ns == run.written


def test_what_was_profiled_is_no_measure_of_a_step(run: Any) -> None:
    """It is said where the trace lies, and that a processor has no snapshot; the times of others count."""
    (note,) = [event["text"] for event in run.events("note") if "profiled" in event["text"]]
    assert "profile/steps-4-5.json" in note
    assert "a processor has none" in note
    assert "its own memory is in the process's" in note
    events = read_events(run.path / "events.jsonl")
    seconds = {event["step"]: event["seconds"] for event in run.events("step")}
    laps = steady_laps(events)
    assert (1, seconds[3]) in laps
    assert not {(1, seconds[4]), (1, seconds[5])} & set(laps)


def test_a_run_that_is_stopped_among_them_keeps_what_it_has(new_run: Runs) -> None:
    """And profiles the rest when it goes on."""
    run = new_run(profile={"first": 3, "last": 8}, save_steps=50, max_steps=9)
    assert run.kill_when(lambda: run.at_step(4), signal.SIGTERM) == 3
    (first,) = run.events("profiled")
    assert (first["first"], first["last"]) == (3, run.events("step")[-1]["step"])
    assert run.finish(resume=True) == 0, run.log.read_text()
    second = run.events("profiled")[-1]
    assert (second["first"], second["last"]) == (first["last"] + 1, 8)
    assert len(list((run.path / "profile").iterdir())) == 2


def test_on_a_gpu_the_allocators_history_is_written_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By torch's own functions, which are called as this torch has them; after the steps nothing is recorded."""
    asked: list[tuple[Any, ...]] = []
    arguments = signature(memory._record_memory_history_impl)

    def record(enabled: str | None = "all", **how: Any) -> None:
        arguments.bind(enabled, **how)
        asked.append((enabled,))

    monkeypatch.setattr(memory, "_record_memory_history", record)
    monkeypatch.setattr(memory, "_dump_snapshot", lambda name: Path(name).write_bytes(b"a pickle"))
    events = Events(tmp_path / "events.jsonl")
    orders = {"profile": {"first": 2, "last": 2}, "device": "cuda"}
    (profiler,) = profilers(tmp_path, orders, events, Progress(resident_memory), 1)
    for done in range(3):
        profiler.on_step_begin(None, SimpleNamespace(global_step=done), None)
        torch.ones(2) + 1
        profiler.on_step_end(None, SimpleNamespace(global_step=done + 1), None)
    assert asked == [("all",), (None,)]
    assert sorted(path.name for path in (tmp_path / "profile").iterdir()) == [
        "step-2-rank1.json",
        "step-2-rank1.pickle",
    ]
    assert "may be in what the driver shows" in read_events(tmp_path / "events.jsonl")[-1]["text"]


def test_a_run_without_has_nothing_of_it() -> None:
    """Neither in its orders nor on its trainer."""
    orders = {"trainer": {}}
    assert profiled(orders, None, 9) == orders
    assert profilers(Path(), profiled(orders, None, 9), None, None) == []  # type: ignore[arg-type]


def test_a_range_is_of_steps_that_there_are() -> None:
    """Counted from 1; steps that the rows do not make are refused before the run."""
    assert [step_range(text) for text in ("3-5", "3", "0-2", "5-3", "3-", "-3", "a", "")] == [
        *((3, 5), (3, 3)),
        *[None] * 6,
    ]
    assert profiled({}, "3-5", 5) == {"profile": {"first": 3, "last": 5}}
    with pytest.raises(BadInput, match="there is no step 5"):
        profiled({}, "3-5", 4)
