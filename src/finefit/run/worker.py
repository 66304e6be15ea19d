"""Starting worker processes, and hearing from them. torch lives there, and only there."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from finefit.errors import BadInput, Interrupted, Problem, RunFailed

from .events import Event, Tail
from .folder import RunFolder

COMMAND = (sys.executable, "-P", "-m", "finefit.worker")
"""-P: a file datasets.py where the user stands is not the library of that name."""

POLL_SECONDS = 0.1
STOPPED = 3
"""The worker's exit code after it saved a checkpoint and stopped, because it was asked to."""

LOG_LINES = 40
"""Of a failed short command's log: searched for the last line that says something."""


def train(run: RunFolder, on_event: Callable[[Event], None]) -> None:
    """Trains to the end. The first interrupt stops after the step and saves, the second at once."""
    tail = Tail(run.events)
    environment = json.loads(run.orders.read_text()).get("environment", {})
    for name in sorted(environment.keys() & os.environ.keys()):
        if os.environ[name] != environment[name]:
            text = f"{name}={os.environ[name]} of this shell is not used: the plan says {environment[name]}"
            on_event({"event": "note", "text": text})
    with run.log.open("ab") as log:
        process = _start("train", str(run.path), log=log, environment=environment)
    try:
        with _signals_interrupt():
            last, interrupted = _follow(process, tail, on_event)
    finally:
        kill(process)
    _judge(process.returncode, last, interrupted, run, run.log)


def join(on_event: Callable[[Event], None]) -> Path:
    """This machine's share of a run that another one leads; returns its folder. Interrupted as `train` is."""
    scratch = Path(tempfile.mkdtemp(prefix="finefit-"))
    run, tail = RunFolder(scratch), Tail(scratch / "events.jsonl")

    def heard(event: Event) -> None:
        nonlocal run
        if event["event"] == "joined":
            run = RunFolder(Path(event["run"]))
        on_event(event)

    with (scratch / "worker.log").open("wb") as log:
        process = _start("join", str(scratch / "events.jsonl"), log=log, environment={})
    try:
        with _signals_interrupt():
            last, interrupted = _follow(process, tail, heard)
    finally:
        kill(process)
    _judge(process.returncode, last, interrupted, run, scratch / "worker.log")
    shutil.rmtree(scratch)
    return run.path


def ask(verb: str, orders: Mapping[str, Any], on_event: Callable[[Event], None] | None = None) -> dict[str, Any]:
    """What a short command (`rehearse`, `generate`) answers; `on_event` hears what it does meanwhile. Its log is kept
    where it failed."""
    scratch = Path(tempfile.mkdtemp(prefix="finefit-"))
    log, out = scratch / "worker.log", scratch / "out.json"
    events = scratch / "events.jsonl"
    (scratch / "orders.json").write_text(json.dumps({**orders, "events": str(events)} if on_event else orders))
    with log.open("wb") as opened:
        environment = orders.get("environment", {})
        process = _start(verb, str(scratch / "orders.json"), str(out), log=opened, environment=environment)
    try:
        with _signals_interrupt():
            process.wait() if on_event is None else _hear(process, Tail(events), on_event)
    except KeyboardInterrupt:
        shutil.rmtree(scratch)
        raise Interrupted("stopped") from None
    finally:
        kill(process)
    answer: dict[str, Any] = json.loads(out.read_text()) if out.exists() else {}
    if process.returncode == 0 or "problems" in answer:
        shutil.rmtree(scratch)
    if "problems" in answer:
        raise BadInput(*(Problem(**problem) for problem in answer["problems"]))
    if process.returncode != 0:
        raise RunFailed(answer.get("failed") or _death(process.returncode, _last_words(log)), str(log))
    return answer


def _hear(process: subprocess.Popen[bytes], tail: Tail, on_event: Callable[[Event], None]) -> None:
    """Until the process ends."""
    while True:
        ended = process.poll() is not None
        for event in tail.read():
            on_event(event)
        if ended:
            return
        time.sleep(POLL_SECONDS)


def start_answering(orders: str, log: Any, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """A worker that is spoken with through its pipes."""
    return _start("chat", orders, log=log, environment=environment, speaks=True)


def _start(*arguments: str, log: Any, environment: Mapping[str, str], speaks: bool = False) -> subprocess.Popen[bytes]:
    """In a session of its own, so that an interrupt at the terminal reaches only this process. `environment` is what
    the orders say beside the user's own variables. Sets of names have the same order in every worker: what goes through
    one, as Gemma 3 does through the types of its layers, else allocates in another order each time.
    """
    return subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=subprocess.PIPE if speaks else subprocess.DEVNULL,
        stdout=subprocess.PIPE if speaks else log,
        stderr=log,
        start_new_session=True,
        env={**os.environ, "PYTHONHASHSEED": "0", **environment},
    )


def _follow(process: subprocess.Popen[bytes], tail: Tail, on_event: Callable[[Event], None]) -> tuple[Event, bool]:
    """Until the process ends: its last event, and whether it was interrupted."""
    last: Event = {"event": ""}
    interrupted = False
    while True:
        try:
            ended = process.poll() is not None
            for event in tail.read():
                last = event
                on_event(event)
            if ended:
                return last, interrupted
            time.sleep(POLL_SECONDS)
        except KeyboardInterrupt:
            if interrupted:
                kill(process)
                return last, interrupted
            interrupted = True
            process.terminate()
            on_event({"event": "note", "text": "stopping after this step; interrupt again to stop at once"})


def _judge(returncode: int, last: Event, interrupted: bool, run: RunFolder, log: Path) -> None:
    if returncode == 0:
        return
    if returncode == STOPPED or interrupted:
        raise Interrupted(f"stopped; go on with: finefit train {run.path} --resume")
    reason = last.get("reason") if last["event"] == "failed" else None
    raise RunFailed(reason or _death(returncode, ""), str(log))


def death(process: subprocess.Popen[bytes], log: Path) -> str:
    """Why a process ended that told nothing itself."""
    return _death(process.returncode, _last_words(log))


def _death(returncode: int, words: str) -> str:
    """What the system tells of a process that told nothing itself."""
    if returncode == -signal.SIGKILL:
        return "the worker was killed by the system, probably because memory ran out"
    if returncode < 0:
        return f"the worker was ended by {signal.Signals(-returncode).name}"
    return f"the worker ended with exit code {returncode}" + (f": {words}" if words else "")


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()[-LOG_LINES:]]
    return next((line for line in reversed(lines) if line), "")


def kill(process: subprocess.Popen[bytes]) -> None:
    """The process with all that it started; nothing where it has ended."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """A terminal that closes and a polite kill stop a run like Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: Any) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
