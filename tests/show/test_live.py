"""A run as it goes."""

from __future__ import annotations

from typing import Any

import pytest

from finefit.nouns.observer import Observer
from finefit.nouns.plan import Plan
from finefit.show.live import Bar, Lines, observer, step_words, working
from finefit.units import MIB

STEP: dict[str, Any] = {
    "event": "step",
    "step": 3,
    "steps": 20,
    "loss": 2.31449,
    "tokens": 900,
    "tokens_per_second": 811.6,
    "memory_bytes": 512 * MIB,
    "memory_kind": "allocated",
    "peak_bytes": 600 * MIB,
    "seconds_left": 62,
}
EVENTS: list[dict[str, Any]] = [
    {"event": "loaded", "seconds": 2.0},
    {"event": "eval", "step": 0, "eval_loss": 4.5},
    STEP,
    {"event": "checkpoint", "step": 3, "path": "checkpoints/checkpoint-3"},
    {"event": "measured", "phases": {}},
    {"event": "note", "text": "[x] is so"},
    {"event": "saved", "path": "adapter"},
    {"event": "stopped"},
    {"event": "stopped", "step": 4},
    {"event": "done", "seconds": 65},
    {"event": "from a later version", "thing": 1},
]


def test_a_step_says_loss_speed_memory_and_time_left(plan: Plan) -> None:
    """Memory stands beside the plan where both count bytes of tensors."""
    assert step_words(STEP, plan) == (
        "step 3/20 · loss 2.3145 · 812 tokens/s · allocated 512.0 MiB, at most 600.0 MiB of 10.00 GiB planned · "
        "1 min 02 s left"
    )


def test_the_memory_of_a_process_is_not_compared_with_a_plan_of_tensors(plan: Plan) -> None:
    """On a processor the worker's resident memory holds libraries too."""
    words = step_words(STEP | {"memory_kind": "rss"}, plan)
    assert "process 512.0 MiB" in words
    assert "planned" not in words


def test_a_step_that_lacks_everything_is_still_a_step() -> None:
    """The first step has no speed and no time left yet."""
    assert step_words({"event": "step", "step": 1, "loss": None}, None) == "step 1/?"


@pytest.mark.parametrize("kind", [Lines, Bar])
def test_a_run_is_heard_to_its_end(kind: type[Lines], plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    """Every event has its line on stderr, an unknown one none, and nothing goes to stdout."""
    heard: Observer = kind()
    heard.stage("rehearsing")
    heard.planned(plan)
    heard.note("a note")
    heard.stage("training")
    for event in EVENTS:
        heard.event(event)
    heard.close()
    heard.close()
    out, err = capsys.readouterr()
    assert out == ""
    for part in ("a note", "held-out loss 4.5000", "checkpoint-3", "[x] is so", "stopped after step 4", "1 min 05 s"):
        assert part in err
    assert "later version" not in err


def test_without_a_terminal_there_are_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """A log gets lines, not a bar."""
    assert isinstance(observer(), Lines)
    assert not isinstance(observer(), Bar)
    with working() as say:
        say("rehearsing")
    assert capsys.readouterr() == ("", "rehearsing\n")
