"""Reading events.jsonl: what a worker wrote, also while it is still writing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

Event = Mapping[str, Any]
WARMING_STEPS = 2
"""Of each process."""


class Tail:
    """The events that are added to a file from now on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = path.stat().st_size if path.exists() else 0

    def read(self) -> list[Event]:
        """Those written since the last call; a line that is still being written waits for the next one."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._position)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._position += len(whole)
        return _parsed(whole)


def read_events(path: Path) -> list[Event]:
    return _parsed(path.read_bytes()) if path.exists() else []


def kept_steps(events: Iterable[Event]) -> list[Event]:
    """The `step` events that the result rests on: a resumed run repeats those after its checkpoint."""
    steps: dict[int, Event] = {}
    for event in events:
        if event["event"] == "started":
            steps = {step: kept for step, kept in steps.items() if step <= event["resumed_from"]}
        elif event["event"] == "step":
            steps[event["step"]] = event
    return [steps[step] for step in sorted(steps)]


def steady_laps(events: Sequence[Event]) -> list[tuple[int, float]]:
    """Steps and seconds between two reports of the steps that count, without the first ones of each process, which load
    kernels and warm up, and without those that were profiled, which are slower."""
    starts = [event["resumed_from"] for event in events if event["event"] == "started"]
    profiled = [(event["first"], event["last"]) for event in events if event["event"] == "profiled"]
    return [
        (after["step"] - before["step"], after["seconds"])
        for before, after in pairwise(kept_steps(events))
        if all(after["step"] <= start or before["step"] >= start + WARMING_STEPS for start in starts)
        and all(after["step"] < first or before["step"] >= last for first, last in profiled)
    ]


def _parsed(lines: bytes) -> list[Event]:
    """A line that a killed worker left half-written says nothing."""
    found: list[Event] = []
    for line in lines.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and "event" in event:
            found.append(event)
    return found
