"""Calls beside each other: as many forked children as cores may be used, each taking the next call that is left.

A child has all that its parent imported, and runs torch in one thread: those of the parent's are not there after a
fork. What it returns goes through JSON, as what its parent writes does.

Knows: Linux. Does not know: macOS, whose libraries do not bear a fork, and Windows, which has none; there, and on one
core, the calls run one after the other. Nor what a call leaves behind in its process.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import IO, Any

import torch

from finefit.errors import BadInput, Problem, RunFailed

from .reason import one_line

Call = Callable[[], Any]
NUMBER = 4
"""Bytes of a call's number in the pipe that all children read."""
PR_SET_PDEATHSIG = 1
"""linux/prctl.h"""


def side_by_side(calls: Sequence[Call]) -> list[Any]:
    """What each returns, in their order. Of those that fail, the first one's error is raised: a `BadInput` as it was,
    another in one line, after its traceback."""
    count = min(len(calls), cores())
    if count < 2:
        return [call() for call in calls]
    left = _numbers(len(calls))
    with ExitStack() as open_files:
        outs = [open_files.enter_context(tempfile.TemporaryFile("w+")) for _ in range(count)]
        children: list[int] = []
        try:
            children.extend(_forked(calls, left, out) for out in outs)
            while children:
                _, status = os.waitpid(children[0], 0)
                children.pop(0)
                _judge(os.waitstatus_to_exitcode(status))
        finally:
            for child in children:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
            os.close(left)
        return _results(outs, len(calls))


def cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1


def _numbers(count: int) -> int:
    """A pipe's end, to read the numbers of all calls from: each is read once, whoever reads."""
    left, given = os.pipe()
    os.set_blocking(given, False)  # more calls than a pipe holds are a mistake of ours, and fail
    written = os.write(given, b"".join(number.to_bytes(NUMBER, "big") for number in range(count)))
    assert written == count * NUMBER, "the pipe is full"
    os.close(given)
    return left


def _taken(left: int) -> Iterator[int]:
    while number := os.read(left, NUMBER):
        yield int.from_bytes(number, "big")


def _forked(calls: Sequence[Call], left: int, out: IO[str]) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    with warnings.catch_warnings():
        # Python 3.12 warns of threads. There is one, jemalloc's of pyarrow, which knows of forks.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child:
        return child
    code = 1
    try:
        _end_with(parent)
        torch.set_num_threads(1)
        _run(calls, left, out)
        sys.stdout.flush()
        sys.stderr.flush()
        code = 0
    except Exception:
        traceback.print_exc()
    finally:
        os._exit(code)  # whatever happened: what the parent does next is not for here


def _end_with(parent: int) -> None:
    """A child is killed where its parent ends, however it ends; signals are for the parent."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _run(calls: Sequence[Call], left: int, out: IO[str]) -> None:
    for number in _taken(left):
        told = _told(calls[number])
        out.write(json.dumps({"number": number} | told) + "\n")
        out.flush()
        if "result" not in told:
            _leave_none(left)


def _told(call: Call) -> dict[str, Any]:
    try:
        return {"result": call()}
    except BadInput as error:
        return {"problems": [asdict(problem) for problem in error.problems]}
    except Exception as error:
        traceback.print_exc()
        return {"failed": one_line(error)}


def _leave_none(left: int) -> None:
    """Later calls are not made. Earlier ones were taken before, so the first failure is always the same."""
    for _ in _taken(left):
        pass


def _judge(code: int) -> None:
    """A child that told nothing fails all."""
    if code == 0:
        return
    what = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    why = ", probably because memory ran out" if code == -signal.SIGKILL else ""
    raise RunFailed(f"a child of the worker was ended by {what}{why}")


def _results(outs: Sequence[IO[str]], count: int) -> list[Any]:
    told: dict[int, dict[str, Any]] = {}
    for out in outs:
        out.seek(0)
        told |= {each["number"]: each for each in map(json.loads, out)}
    for number in sorted(told):
        if "problems" in told[number]:
            raise BadInput(*(Problem(**problem) for problem in told[number]["problems"]))
        if "failed" in told[number]:
            raise RunFailed(told[number]["failed"])
    return [told[number]["result"] for number in range(count)]
