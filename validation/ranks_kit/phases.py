"""The bytes of a recorded rank, as they are compared: by phase, and what it holds after its steps by what it is.

Works alike on what was measured and on what was composed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from finefit.nouns.recording import Recording
from finefit.tape.peaks import held_at, segments

PHASES = ("forward", "backward", "optimizer")
WITHIN = {"reference": "forward"}
"""What a rank is not told apart."""
Bytes = tuple[int, int, int]
"""As a phase begins, at its fullest moment, as it ends."""

STATISTICS = "statistics"
"""Of quantised weights."""
WHAT = {
    "weight": "parameters",
    STATISTICS: "parameters",
    "adapter": "parameters",
    "gradient": "gradients",
    "optimizer": "states",
    "master": "states",
}
REST = "rest"
"""Buckets, gathered parameters, the model's buffers, the batch."""


@dataclass(frozen=True)
class Found:
    """What one rank takes, measured or composed."""

    phases: Mapping[str, Bytes]
    held: Mapping[str, int]


def phases_of(recording: Recording) -> dict[str, Bytes]:
    """By `step/micro/phase`, the optimizer's by its last micro-batch."""
    found: dict[str, Bytes] = {}
    live = 0
    for segment in segments(recording):
        step, micro, *_ = segment.label.split("/")
        key = f"{step}/{micro}/{WITHIN.get(segment.phase, segment.phase)}"
        begin, peak, _ = found.get(key, (live, live, live))
        peak = max(peak, live)
        for event in recording.events[segment.start : segment.stop]:
            live += recording.nbytes[event - 1] if event > 0 else -recording.nbytes[-event - 1]
            peak = max(peak, live)
        found[key] = begin, peak, live
    return {key: values for key, values in found.items() if key.split("/")[2] in PHASES}


def held_of(recording: Recording, what: Mapping[str, str] = WHAT) -> dict[str, int]:
    """At the end; `what`: a category's place."""
    found = dict.fromkeys((*what.values(), REST), 0)
    for (category, *_), held in held_at(recording, len(recording.events) - 1).items():
        found[what.get(category, REST)] += held.nbytes
    return found
