"""The log of a run: append-only lines of JSON."""

from __future__ import annotations

import json
from pathlib import Path

from finefit.worker.events import Events


def test_numbers_that_json_lacks_become_null(tmp_path: Path) -> None:
    """Whatever a run computes, its log stays JSON."""
    Events(tmp_path / "events").write(
        "step", loss=float("nan"), more={"norm": float("-inf"), "all": [float("inf"), 1.5]}
    )
    [line] = (tmp_path / "events").read_text().splitlines()
    event = json.loads(line, parse_constant=lambda word: 1 / 0)
    assert (event["event"], event["loss"], event["more"]) == ("step", None, {"norm": None, "all": [None, 1.5]})


def test_a_torn_line_is_closed(tmp_path: Path) -> None:
    """A line that a killed worker left half-written does not swallow the next one."""
    path = tmp_path / "events"
    path.write_text('{"event": "started"}\n{"event": "st')
    Events(path).note("on again")
    lines = path.read_text().splitlines()
    assert len(lines) == 3
    assert json.loads(lines[2])["text"] == "on again"


def test_each_event_can_be_read_at_once(tmp_path: Path) -> None:
    """A reader sees an event as soon as it is written."""
    events = Events(tmp_path / "events")
    for count in range(1, 4):
        events.note("x")
        assert (tmp_path / "events").read_bytes().count(b"\n") == count
