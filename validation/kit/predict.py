"""What finefit says of a point: its rehearsal, expanded to all layers and replayed through the allocator.

Knows: the same orders that are measured, `finefit.estimate` and `finefit.tape` as `finefit estimate` uses them.
Many points are rehearsed in one process, since starting one takes longer than most rehearsals. Needs torch and TRL.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from finefit.estimate.generation import ledger_of_answer
from finefit.estimate.rehearsed import ledger_from, whole_recording
from finefit.lower.layers import layers_of
from finefit.nouns.ledger import Ledger
from finefit.nouns.machine import Machine
from finefit.nouns.model import Model
from finefit.nouns.range import around
from finefit.nouns.recording import Recording
from finefit.rehearsal.generation import find
from finefit.tape.peaks import phase_peaks

from .points import Point, knobs_of, model_of, orders_of, writing_of

OF_LENGTHS = "rows of changing length"
"""Why reserved memory may be more than what the grid shows, whose rows are alike: this reason is left out here."""


def predicted(point: Point, machine: Machine, model: Model | None = None) -> dict[str, Any]:
    """Bytes of one point on one machine, and the versions behind them; a processor reserves nothing."""
    model = model or model_of(point.model)
    if point.rows == "answers":
        writing = writing_of(point, machine, model)
        found = find(writing, lambda _: None)
        ledger = ledger_of_answer(found.recording, model, writing.knobs, machine, writing.task)
        return _told(found.recording, ledger, found.stack)
    recording, stack = _recording(point, machine, model)
    return _told(recording, ledger_from(recording, model, knobs_of(point, model), machine), stack)


def _told(recording: Recording, ledger: Ledger, stack: Mapping[str, str]) -> dict[str, Any]:
    said = {
        "stack": dict(stack),
        "parameters": ledger.parameters,
        "phases": dict(ledger.phases),
        "allocated_bytes": ledger.peak_bytes,
        "reserved_bytes": ledger.reserved_bytes,
    }
    if ledger.reserved is None or ledger.device is None:
        return said | {"phases": phase_peaks(recording)}
    reasons = [reason for reason in ledger.reserved.reasons if reason.what != OF_LENGTHS]
    alike = around(ledger.reserved.typical, reasons)
    return said | {
        "reserved_range_bytes": [alike.low, alike.high],
        "device_bytes": ledger.device.typical,
    }


def _recording(point: Point, machine: Machine, model: Model) -> tuple[Recording, dict[str, str]]:
    """Of a few layers where they stand for all, else of every one."""
    for whole in (False, True):
        answer = _rehearsed(orders_of(point, machine, model, whole=whole))
        recording = whole_recording(answer["recordings"], layers_of(model, knobs_of(point, model)))
        if recording is not None:
            return recording, answer["stack"]
    raise AssertionError("a rehearsal of every layer is a recording")


def _rehearsed(orders: dict[str, Any]) -> dict[str, Any]:
    """In this process, as the worker does it."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    from finefit.worker.rehearse import main

    with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stdout(io.StringIO()):
        told, answer = Path(scratch, "orders.json"), Path(scratch, "answer.json")
        told.write_text(json.dumps(orders))
        main(str(told), str(answer))
        return json.loads(answer.read_text())  # type: ignore[no-any-return]
