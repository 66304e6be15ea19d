"""The receipt: predicted beside measured, from what a run left in its folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from finefit import whole
from finefit.errors import BadInput, Problem, RunFailed
from finefit.nouns.digest import sha256_of
from finefit.nouns.method import name_of
from finefit.nouns.plan import Plan
from finefit.nouns.range import Range
from finefit.nouns.receipt import PhaseGap, RangeGap, Receipt, TimeGap
from finefit.nouns.recording import Recording
from finefit.nouns.workload import Workload
from finefit.tape.peaks import phase_peaks

from .events import Event, kept_steps, read_events, steady_laps
from .folder import RunFolder, open_run, read_plan
from .held import UNMEASURED, gaps, ranks_of


def write(run: RunFolder) -> Receipt:
    """Computes the receipt of a run that is done, and leaves it in its folder."""
    plan = read_plan(run)
    events = read_events(run.events)
    recording = Recording.from_json(json.loads(run.recording.read_text())) if run.recording.exists() else None
    receipt = receipt_of(run.path.name, plan, events, recording, _hashes(run, plan))
    whole.write(run.receipt, json.dumps(to_json(receipt), indent=1))
    return receipt


@cache
def _receipts() -> TypeAdapter[Receipt]:
    return TypeAdapter(Receipt)


def read(path: Path) -> Receipt:
    run = open_run(path)
    if not run.receipt.exists():
        hint = f"finefit train {path} --resume"
        raise BadInput(Problem("has no receipt: the run is not complete", where=str(path), hint=hint))
    return from_json(json.loads(run.receipt.read_text()))


def receipt_of(
    name: str, plan: Plan, events: Sequence[Event], recording: Recording | None, hashes: Mapping[str, str]
) -> Receipt:
    done, steps = _last(events, "done"), kept_steps(events)
    if not done:
        raise RunFailed("this run is not complete")
    measured_by, measured = _measured(events, recording)
    predicted, ranks = plan.ledger.phases, ranks_of(events)
    stack: Mapping[str, str] = _last(events, "loaded")["stack"]
    return Receipt(
        run=name,
        model=plan.model.id,
        method=name_of(plan.method),
        machine=plan.machine.name,
        phases=tuple(PhaseGap(phase, predicted[phase], measured[phase]) for phase in predicted if phase in measured),
        peak=_peak(predicted, measured),
        measured_by=measured_by,
        rss_peak_bytes=max(event["rss_peak_bytes"] for event in events if "rss_peak_bytes" in event),
        device_peak_bytes=max((event["device_bytes"] or 0 for event in _allocator(events)), default=0) or None,
        train_loss_first=steps[0]["loss"] if steps else None,
        train_loss_last=steps[-1]["loss"] if steps else None,
        eval_loss_before=_last(events, "eval", when="before").get("loss"),
        eval_loss_after=_last(events, "eval", when="after").get("loss"),
        steps=done["steps"],
        train_seconds=done["seconds"],
        tokens_per_second=done["tokens"] / done["seconds"] if done["seconds"] else 0.0,
        stack=stack,
        seed=plan.job.seed,
        hashes=hashes,
        notes=(*plan.notes, *_notes(events, plan.stack, stack)),
        reserved=_range_gap(plan.ledger.reserved, events, "reserved_bytes"),
        device=_range_gap(plan.ledger.device, events, "device_bytes"),
        rows=None if plan.data is None else plan.data.rows,
        rows_left_out=0 if plan.data is None else plan.data.left_out + plan.data.eval_left_out,
        step=_step(plan.work, done, steady_laps(events), was_profiled=bool(_last(events, "profiled"))),
        preferred=_last(events, "eval", when="after").get("rewards", {}).get("accuracies"),
        held=gaps(plan.held, ranks),
        ranks=ranks,
    )


def to_json(receipt: Receipt) -> dict[str, Any]:
    """With each gap beside its two numbers."""
    values: dict[str, Any] = _receipts().dump_python(receipt, mode="json")
    peak = () if receipt.peak is None else (receipt.peak,)
    told = (*values["phases"], *values["held"], *(() if receipt.peak is None else (values["peak"],)))
    for gap, written in zip((*receipt.phases, *receipt.held, *peak), told, strict=True):
        written["gap_percent"] = gap.gap_percent if gap.measured_bytes else None
    return values


def from_json(values: Mapping[str, Any]) -> Receipt:
    return _receipts().validate_python(values)


def _measured(events: Sequence[Event], recording: Recording | None) -> tuple[str, dict[str, int]]:
    """By the allocator's counters on a GPU, where each process of a resumed run has its own; else by the recorder, or
    where a processor runs several ranks, by these alone."""
    if recording is not None:
        return "recorder", phase_peaks(recording)
    peaks: dict[str, int] = {}
    for event in _allocator(events):
        for phase, nbytes in {**event["phases"], "peak": event["peak_bytes"]}.items():
            peaks[phase] = max(peaks.get(phase, 0), nbytes)
    if not peaks and ranks_of(events):
        return "ranks", {}
    if not peaks:
        raise RunFailed("the memory of this run was not measured: recording.json is missing")
    return "allocator", peaks


def _peak(predicted: Mapping[str, int], measured: Mapping[str, int]) -> PhaseGap | None:
    """Over the phases that were measured: on a processor, a resumed run no longer measures its evaluation."""
    if not measured:
        return None
    phase = max((phase for phase in predicted if phase in measured), key=lambda phase: predicted[phase])
    return PhaseGap(phase, predicted[phase], measured["peak"])


def _range_gap(predicted: Range | None, events: Sequence[Event], what: str) -> RangeGap | None:
    """The highest of what the processes of a run measured, beside its prediction."""
    if predicted is None:
        return None
    measured = max((event.get(what) or 0 for event in _allocator(events)), default=0) or None
    return RangeGap(predicted.low, predicted.typical, predicted.high, measured)


def _step(
    work: Workload | None, done: Event, laps: Sequence[tuple[int, float]], *, was_profiled: bool
) -> TimeGap | None:
    """Of the mean step: rows, and so steps, are of many lengths. Where a run has no steps but its first, of these; of
    what was profiled, nothing is said."""
    if was_profiled and not laps:
        return None
    steps = sum(count for count, _ in laps)
    measured, steady = (sum(seconds for _, seconds in laps), steps) if steps else (done["seconds"], 0)
    if work is None or not done["steps"] or not measured:
        return None
    low, predicted, high = (seconds / work.steps for seconds in (work.low, work.seconds, work.high))
    return TimeGap(low, predicted, high, measured / (steps or done["steps"]), steady)


def _allocator(events: Sequence[Event]) -> list[Event]:
    return [event for event in events if event["event"] == "measured" and event["kind"] == "allocator"]


def _last(events: Sequence[Event], name: str, **values: str) -> Event:
    """The newest such event, or an empty one."""
    wanted = {"event": name, **values}
    return next((e for e in reversed(events) if all(e.get(key) == wanted[key] for key in wanted)), {})


def _notes(events: Sequence[Event], planned: Mapping[str, str], used: Mapping[str, str]) -> list[str]:
    notes = [event["text"] for event in events if event["event"] == "note"]
    notes += [UNMEASURED] if ranks_of(events) and not _allocator(events) else []
    resumed = [event["resumed_from"] for event in events if event["event"] == "started"][1:]
    if resumed:
        notes.append(f"resumed from step {', '.join(str(step) for step in resumed)}")
    notes += [
        f"planned for {library} {planned[library]}, trained with {version}"
        for library, version in used.items()
        if planned.get(library, version) != version
    ]
    return notes


def _hashes(run: RunFolder, plan: Plan) -> dict[str, str]:
    orders = json.loads(run.orders.read_text())
    config = json.dumps(plan.model.config, sort_keys=True).encode()
    weights = sorted(run.adapter.glob("*.safetensors"))
    hashes = {
        "job": sha256_of(run.job),
        "model_config": hashlib.sha256(config).hexdigest(),
        "adapter": sha256_of(*weights),
    }
    data = Path(orders["data"]["train"])
    return hashes | ({"data": sha256_of(data)} if data.is_file() else {})
