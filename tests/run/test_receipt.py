"""The receipt, from events and a recording that a test wrote."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest

from finefit.errors import BadInput, RunFailed
from finefit.nouns.plan import Plan
from finefit.nouns.range import Range
from finefit.nouns.receipt import RangeGap, Receipt, TimeGap
from finefit.nouns.recording import Recording
from finefit.nouns.workload import Workload
from finefit.run import folder, receipt
from finefit.run.events import kept_steps, steady_laps

MakePlan = Callable[..., Plan]

RECORDING = Recording(
    blocks=1,
    nbytes=(800, 1000, 2200, 400),
    kinds=(0, 0, 0, 0),
    kind_names=(("weight", "load", "", "adopted"),),
    block_of=(None,) * 4,
    events=(1, 2, -2, 3, -3, 4, -4),
    marks=((0, "0/0/load"), (1, "0/0/forward"), (3, "0/0/backward"), (5, "0/0/optimizer"), (7, "end")),
    parameters=900,
    trainable_parameters=100,
)
MEASURED = {"load": 800, "forward": 1800, "backward": 3000, "optimizer": 1200}


def step(number: int, loss: float) -> dict[str, Any]:
    return {"event": "step", "step": number, "loss": loss}


def history() -> list[dict[str, Any]]:
    """A run that was killed after step 3 and resumed from step 2."""
    return [
        {"event": "started", "resumed_from": 0},
        {"event": "loaded", "stack": {"torch": "2.13.0"}},
        {"event": "eval", "when": "before", "loss": 5.0},
        *[step(1, 4.0), step(2, 3.0), step(3, 99.0)],
        {"event": "started", "resumed_from": 2},
        {"event": "note", "text": "a note of the run"},
        {"event": "loaded", "stack": {"torch": "2.14.0"}},
        *[step(3, 2.5), step(4, 2.0)],
        {"event": "eval", "when": "during", "loss": 4.5},
        {"event": "eval", "when": "after", "loss": 4.0},
        {"event": "done", "steps": 4, "tokens": 600, "seconds": 3.0, "rss_peak_bytes": 7000},
    ]


def made(plan: Plan, events: list[dict[str, Any]], recording: Recording | None = RECORDING) -> Receipt:
    return receipt.receipt_of("run-1", plan, events, recording, {"job": "00"})


def test_predicted_stands_beside_measured(make_plan: MakePlan) -> None:
    """Each phase that was predicted and measured has its gap: predicted minus measured, in percent of measured."""
    found = made(make_plan(), history())
    assert {gap.phase: gap.measured_bytes for gap in found.phases} == MEASURED
    assert (found.peak.predicted_bytes, found.peak.measured_bytes) == (4000, 3000)
    assert found.peak.gap_percent == pytest.approx(100 / 3)
    assert found.measured_by == "recorder"
    assert (found.tokens_per_second, found.train_seconds, found.steps) == (200.0, 3.0, 4)
    assert (found.eval_loss_before, found.eval_loss_after) == (5.0, 4.0)


def test_rows_that_were_left_out_are_counted(make_plan: MakePlan) -> None:
    """Those trained on, and the bad ones of both files."""
    plan = make_plan()
    assert plan.data is not None
    found = made(replace(plan, data=replace(plan.data, left_out=3, eval_left_out=2)), history())
    assert (found.rows, found.rows_left_out) == (plan.data.rows, 5)
    assert receipt.from_json(receipt.to_json(found)) == found


def test_a_step_is_timed_without_those_that_warm_up(make_plan: MakePlan) -> None:
    """Neither the first ones of the run, nor of the process that went on with it, nor those that were repeated."""
    events = [
        {"event": "started", "resumed_from": 0},
        *[step(n, 1.0) | {"seconds": seconds} for n, seconds in enumerate((9.0, 8.0, 1.0, 2.0, 7.0), 1)],
        {"event": "started", "resumed_from": 4},
        *[step(n, 1.0) | {"seconds": seconds} for n, seconds in enumerate((6.0, 5.0, 3.0, 4.0), 5)],
    ]
    assert steady_laps(events) == [(1, 1.0), (1, 2.0), (1, 3.0), (1, 4.0)]
    assert steady_laps(events[:3]) == []
    profiled = {"event": "profiled", "first": 7, "last": 7}
    assert steady_laps([*events, profiled]) == [(1, 1.0), (1, 2.0), (1, 4.0)]


def test_steps_that_were_repeated_count_once(make_plan: MakePlan) -> None:
    """What a killed process did after its last checkpoint is not part of the result."""
    assert [event["loss"] for event in kept_steps(history())] == [4.0, 3.0, 2.5, 2.0]
    found = made(make_plan(), history())
    assert (found.train_loss_first, found.train_loss_last) == (4.0, 2.0)


def test_whatever_happened_is_noted(make_plan: MakePlan) -> None:
    """Notes of plan and run, resumptions, and libraries that are not those of the plan."""
    assert made(make_plan(), history()).notes == (
        "a note of the plan",
        "a note of the run",
        "resumed from step 2",
        "planned for torch 2.13.0, trained with 2.14.0",
    )


def test_a_gpu_is_measured_over_all_processes(make_plan: MakePlan) -> None:
    """Each process of a resumed run counts for itself: the receipt has the highest of each phase."""
    measured = [
        {"event": "measured", "kind": "allocator", "phases": phases, "peak_bytes": peak, "device_bytes": device}
        for phases, peak, device in (
            ({"load": 900, "forward": 3000}, 3000, None),
            ({"load": 950, "forward": 2000}, 2000, 5000),
        )
    ]
    found = made(make_plan(on_gpu=True), [*measured, *history()], recording=None)
    assert {gap.phase: gap.measured_bytes for gap in found.phases} == {"load": 950, "forward": 3000}
    assert (found.peak.measured_bytes, found.measured_by, found.device_peak_bytes) == (3000, "allocator", 5000)


def test_the_peak_is_over_what_was_measured(make_plan: MakePlan) -> None:
    """A phase that was not measured, as the evaluation of a resumed run, is not held against the others."""
    plan = make_plan()
    phases = {**plan.ledger.phases, "evaluation": 9000}
    fuller = replace(plan, ledger=replace(plan.ledger, phases=phases, peak_bytes=9000, peak_phase="evaluation"))
    found = made(fuller, history())
    assert (found.peak.phase, found.peak.predicted_bytes, found.peak.measured_bytes) == ("backward", 4000, 3000)


def test_reserved_and_device_stand_beside_their_ranges(make_plan: MakePlan) -> None:
    """The highest of all processes, inside or outside; nothing where it was not predicted or not measured."""
    plan = make_plan(on_gpu=True)
    ranges = {"reserved": Range(4000, 5000, 6000), "device": Range(4500, 5500, 6500)}
    predicted = replace(plan, ledger=replace(plan.ledger, **ranges))
    measured = [
        {"event": "measured", "kind": "allocator", "phases": {"load": 900}, "peak_bytes": 3000} | more
        for more in (
            {"reserved_bytes": 5200, "device_bytes": None},
            {"reserved_bytes": 5100, "device_bytes": 6600},
        )
    ]
    found = made(predicted, [*measured, *history()], recording=None)
    assert found.reserved == RangeGap(4000, 5000, 6000, 5200)
    assert found.device == RangeGap(4500, 5500, 6500, 6600)
    assert (found.reserved.is_inside, found.device.is_inside) == (True, False)
    assert made(predicted, history()).reserved == RangeGap(4000, 5000, 6000, None)
    assert made(plan, [*measured, *history()], recording=None).reserved is None
    assert receipt.from_json(receipt.to_json(found)) == found


def test_the_mean_step_stands_beside_what_was_predicted(make_plan: MakePlan) -> None:
    """Of all steps of the run, as their rows are; nothing where no time was predicted."""
    work = Workload(10, 1.0, 4, 500, 600, seconds=2.0, low=1.0, high=2.9, longest_line=7, offer=None)
    found = made(replace(make_plan(), work=work), history())
    assert found.step == TimeGap(low=0.25, predicted=0.5, high=0.725, measured=0.75)
    assert not found.step.is_inside
    assert receipt.from_json(receipt.to_json(found)) == found
    assert made(make_plan(), history()).step is None


def test_receipts_from_before_there_were_ranges_are_read(make_plan: MakePlan) -> None:
    """What they lack is unknown."""
    written = receipt.to_json(made(make_plan(), history()))
    older = {key: value for key, value in written.items() if key not in ("reserved", "device", "step")}
    assert receipt.from_json(older).reserved is None
    assert receipt.from_json(older).step is None


def test_no_receipt_without_an_end_or_a_measurement(make_plan: MakePlan) -> None:
    """A receipt is never made up."""
    with pytest.raises(RunFailed, match="not complete"):
        made(make_plan(), history()[:-1])
    with pytest.raises(RunFailed, match="not measured"):
        made(make_plan(), history(), recording=None)


def test_a_receipt_is_read_as_it_was_written(make_plan: MakePlan) -> None:
    """receipt.json loses nothing, and its hashes are of the run's own files."""
    run = folder.create(make_plan(), "job")
    with pytest.raises(BadInput, match="no receipt"):
        receipt.read(run.path)
    run.events.write_text("".join(json.dumps(event) + "\n" for event in history()))
    run.recording.write_text(json.dumps(asdict(RECORDING)))
    run.adapter.mkdir()
    (run.adapter / "adapter_model.safetensors").write_bytes(b"weights")
    written = receipt.write(run)
    assert receipt.read(run.path) == written
    assert set(written.hashes) == {"job", "data", "model_config", "adapter"}
    assert json.loads(run.receipt.read_text())["peak"]["gap_percent"] == written.peak.gap_percent
