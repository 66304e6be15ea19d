"""The supervisor, with small scripts in the place of the worker: how each end of a process is told."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finefit.errors import BadInput, Interrupted, RunFailed
from finefit.nouns.plan import Plan
from finefit.run import worker
from finefit.run.folder import RunFolder, create

WRITE = """
import json, os, pathlib, signal, sys, time
verb, *rest = sys.argv[1:]
def say(event, **values):
    with open(pathlib.Path(rest[0]) / "events.jsonl", "a") as file:
        file.write(json.dumps({"event": event, **values}) + "\\n")
def polite(*_):
    say("stopped"); sys.exit(3)
signal.signal(signal.SIGTERM, polite)
"""

MakePlan = Callable[..., Plan]
Scripted = Callable[[str], None]


@pytest.fixture
def run(make_plan: MakePlan) -> RunFolder:
    return create(make_plan(), "job")


@pytest.fixture
def scripted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scripted:
    def script(body: str) -> None:
        (tmp_path / "fake.py").write_text(WRITE + body)
        monkeypatch.setattr(worker, "COMMAND", (sys.executable, str(tmp_path / "fake.py")))

    return script


def interrupt(event: Any) -> None:
    if event["event"] == "step":
        raise KeyboardInterrupt


def test_every_event_is_heard_once(run: RunFolder, scripted: Scripted) -> None:
    """Events come in order, those of earlier processes do not come again, and a torn line is left out."""
    run.events.write_text('{"event": "old"}\n')
    scripted("for step in range(5): say('step', step=step); time.sleep(0.05)\nsay('done')")
    heard: list[Any] = []
    worker.train(run, heard.append)
    assert [event.get("step", event["event"]) for event in heard] == [0, 1, 2, 3, 4, "done"]


def test_a_failure_has_its_reason_and_its_log(run: RunFolder, scripted: Scripted) -> None:
    """What the worker said of its end is what the user reads; its own words are in the log."""
    scripted("print('all of it', file=sys.stderr); say('failed', reason='the disk is full'); sys.exit(1)")
    with pytest.raises(RunFailed, match="the disk is full") as failed:
        worker.train(run, lambda _: None)
    assert failed.value.log == str(run.log)
    assert "all of it" in run.log.read_text()


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "memory ran out"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
        ("os._exit(7)", "exit code 7"),
    ],
)
def test_a_sudden_death_is_told(run: RunFolder, scripted: Scripted, end: str, words: str) -> None:
    """A worker that could say nothing itself: its exit code speaks."""
    scripted(f"say('step'); {end}")
    with pytest.raises(RunFailed, match=words):
        worker.train(run, lambda _: None)


def test_the_first_interrupt_is_polite(run: RunFolder, scripted: Scripted) -> None:
    """The worker is asked to stop, its last events are heard, and the user is told how to go on."""
    scripted("say('step')\nwhile True: time.sleep(0.01)")
    heard: list[str] = []

    def on_event(event: Any) -> None:
        heard.append(event["event"])
        interrupt(event)

    with pytest.raises(Interrupted, match="--resume"):
        worker.train(run, on_event)
    assert heard == ["step", "note", "stopped"]


def test_the_second_interrupt_ends_at_once(run: RunFolder, scripted: Scripted) -> None:
    """A worker that does not stop is killed."""
    scripted("signal.signal(signal.SIGTERM, lambda *_: say('step'))\nsay('step')\nwhile True: time.sleep(0.01)")
    started = time.monotonic()
    with pytest.raises(Interrupted):
        worker.train(run, interrupt)
    assert time.monotonic() - started < 10


def test_a_polite_kill_of_the_supervisor_stops_the_worker(run: RunFolder, scripted: Scripted) -> None:
    """SIGTERM to the supervisor is passed on as an interrupt, and its own handler comes back after."""
    before = signal.getsignal(signal.SIGTERM)
    scripted("say('step')\nwhile True: time.sleep(0.01)")
    heard: list[str] = []

    def on_event(event: Any) -> None:
        heard.append(event["event"])
        if event["event"] == "step":
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        worker.train(run, on_event)
    assert heard[-1] == "stopped"
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_broken_listener_leaves_no_worker_behind(run: RunFolder, scripted: Scripted) -> None:
    """When showing an event fails, the worker ends too."""
    scripted("say('step', pid=os.getpid())\nwhile True: time.sleep(0.01)")
    pids: list[int] = []

    def broken(event: Any) -> None:
        pids.append(event["pid"])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        worker.train(run, broken)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_a_run_has_the_environment_of_its_plan(
    run: RunFolder, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The launched process itself is asked; a shell that says otherwise is told, and the rest of it stays."""
    name = "PYTORCH_CUDA_ALLOC_CONF"
    orders = json.loads(run.orders.read_text()) | {"environment": {name: "expandable_segments:True"}}
    run.orders.write_text(json.dumps(orders))
    monkeypatch.setenv(name, "max_split_size_mb:64")
    monkeypatch.setenv("OF_THE_SHELL", "kept")
    scripted(f"say('done', found=[os.environ['{name}'], os.environ['OF_THE_SHELL']])")
    heard: list[Any] = []
    worker.train(run, heard.append)
    note, done = heard
    assert done["found"] == ["expandable_segments:True", "kept"]
    assert note["text"].startswith(f"{name}=max_split_size_mb:64 of this shell is not used")
    assert os.environ[name] == "max_split_size_mb:64"


def test_a_short_command_answers(scripted: Scripted, tmp_path: Path) -> None:
    """What is asked goes in as JSON and the answer comes out as JSON."""
    scripted("out = pathlib.Path(rest[1]); out.write_text(json.dumps({verb: json.loads(open(rest[0]).read())}))")
    assert worker.ask("generate", {"a": [1, 2]}) == {"generate": {"a": [1, 2]}}


def test_problems_are_the_users(scripted: Scripted) -> None:
    """Problems that a short command names are bad input, all of them, whatever its exit code."""
    problems = [{"what": "too long", "where": "rows:3", "why": "", "hint": ""}, {"what": "too short"}]
    for code in (0, 2):
        scripted(f"open(rest[1], 'w').write({json.dumps(json.dumps({'problems': problems}))}); sys.exit({code})")
        with pytest.raises(BadInput) as bad:
            worker.ask("rehearse", {})
        assert [problem.what for problem in bad.value.problems] == ["too long", "too short"]


def test_a_failed_short_command_keeps_its_log(scripted: Scripted) -> None:
    """The user reads why, and finds the rest in a file that is still there."""
    scripted("print('much more', file=sys.stderr); print('KeyError: x', file=sys.stderr); sys.exit(1)")
    with pytest.raises(RunFailed, match="KeyError: x") as failed:
        worker.ask("rehearse", {})
    assert "much more" in Path(failed.value.log).read_text()
    scripted("""open(rest[1], "w").write('{"failed": "torch is not installed"}'); sys.exit(1)""")
    with pytest.raises(RunFailed, match="torch is not installed"):
        worker.ask("rehearse", {})
