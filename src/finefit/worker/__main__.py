"""The worker as a process: `python -m finefit.worker train RUN`, or `chat ORDERS`, or with another verb and ORDERS OUT:
rehearse, generation, measure, calibrate, generate, data, fetch, export. A run on several ranks is led by a process that
forks them; `join EVENTS` is that of a further machine.

Ends with 0 when done, 1 when failed, 2 when the input is wrong, 3 when stopped. OUT holds the answer, or `problems` of
the input, or why it `failed`; a run says so in its events, a chat on its own pipe. All other words go to stderr. torch
is imported only after the environment that it reads is set.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from finefit.errors import BadInput, RunFailed
from finefit.nouns.nodes import nodes_of

from .alone import alone_in
from .events import Events
from .imports import importing
from .ranks.leader import lead, leave_reason
from .ranks.meeting import hosted, joined
from .reason import one_line
from .stop import EXIT_STOPPED, Stop, Stopped

ANSWERS = {
    "rehearse": "rehearse", "generation": "generation", "measure": "measure", "calibrate": "calibrate",
    "generate": "generate", "data": "data", "fetch": "fetch",
    "export": "export.run",
}  # fmt: skip
"""The module of each verb that writes one answer. It imports torch, so it is imported late."""
REHEARSALS = ("rehearse", "generation")
"""What runs on fake tensors, whatever device it is asked about."""


def main(arguments: list[str]) -> int:
    match arguments:
        case ["train", run]:
            return _train(Path(run))
        case ["join", events]:
            return _join(Events(Path(events)))
        case [verb, orders, out] if verb in ANSWERS:
            return _answer(verb, orders, out)
        case ["chat", orders]:
            return _chat(orders)
        case _:
            print(__doc__, file=sys.stderr)
            return 2


def _train(run: Path) -> int:
    stop = Stop()
    stop.listen()
    try:
        orders = json.loads((run / "orders" / "train.json").read_text())
        if "engine" in orders:
            return _lead(run, orders, stop)
        with alone_in(run):
            return _train_alone(run, orders, stop)
    except Exception as error:
        traceback.print_exc()
        Events(run / "events.jsonl").write("failed", reason=one_line(error))
        return 1


def _lead(run: Path, orders: dict[str, Any], stop: Stop) -> int:
    """On the only machine, or on the first of several."""
    nodes, events = nodes_of(os.environ), Events(run / "events.jsonl")
    if nodes.count > 1:
        events.write("note", text=f"waiting for {nodes.count - 1} more at {nodes.address}:{nodes.port}")
    try:
        meeting = hosted(run, nodes, stop.check)
    except Stopped:
        events.write("stopped")
        return EXIT_STOPPED
    return lead(meeting, orders, nodes, stop, partial(_rank, run, orders))


def _join(events: Events) -> int:
    """This machine's share of a run that another one plans and writes down."""
    stop = Stop()
    stop.listen()
    try:
        nodes = nodes_of(os.environ)
        meeting = joined(nodes, stop.check)
        events.write("joined", run=str(meeting.run))
        path = meeting.run / "orders" / "train.json"
        if not path.exists():
            raise RunFailed(f"{meeting.run} of the first machine is not seen here: machines of a run share its folder")
        orders = json.loads(path.read_text())
        return lead(meeting, orders, nodes, stop, partial(_rank, meeting.run, orders))
    except Stopped:
        return EXIT_STOPPED
    except Exception as error:
        traceback.print_exc()
        events.write("failed", reason=one_line(error))
        return 1


def _train_alone(run: Path, orders: dict[str, Any], stop: Stop) -> int:
    events = Events(run / "events.jsonl")
    prepare(orders, orders["device"])
    try:
        with importing():
            from .train import train

        stop.check()
        train(run, events, stop)
    except Stopped:
        events.write("stopped")
        return EXIT_STOPPED
    return 0


def _rank(run: Path, orders: dict[str, Any], number: int) -> int:
    """One of several, in a process of its own; only the first is heard."""
    stop = Stop()
    stop.listen()
    events = Events(run / "events.jsonl" if number == 0 else Path(os.devnull))
    prepare(orders, orders["device"])
    try:
        with importing():
            from .ranks.train import train

        with alone_in(run) if number == 0 else nullcontext():
            train(run, events, stop)
    except Stopped:
        events.write("stopped")
        return EXIT_STOPPED
    except Exception as error:
        traceback.print_exc()
        leave_reason(run, number, one_line(error))
        return 1
    return 0


def _answer(verb: str, orders: str, out: str) -> int:
    told = json.loads(Path(orders).read_text())
    prepare(told, "cpu" if verb in REHEARSALS else told["device"], several=verb == "calibrate")
    try:
        with importing():
            if verb in REHEARSALS:
                from .bends.listed_once import models_are_listed_once
                from .bends.uncompiled import nothing_is_compiled

                nothing_is_compiled()
                models_are_listed_once()
            module = import_module(f".{ANSWERS[verb]}", __package__)
        module.main(orders, out)
    except BadInput as error:
        Path(out).write_text(json.dumps({"problems": [asdict(problem) for problem in error.problems]}))
        return BadInput.exit_code
    except Exception as error:
        traceback.print_exc()
        Path(out).write_text(json.dumps({"failed": one_line(error)}))
        return 1
    return 0


def _chat(orders: str) -> int:
    prepare(told := json.loads(Path(orders).read_text()), told["device"])
    with importing():
        from .chat import main as chat

    return chat(orders)


def prepare(orders: dict[str, Any], device: str, *, several: bool = False) -> None:
    """The environment, as torch, transformers and tokenizers read it at import. `several`: links between cards are
    asked about, so all that the user lets be seen are."""
    if not orders.get("online"):
        os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 2) - 1)))
    # One process uses one card; what runs on the processor must not open one.
    if device == "cuda" and several:
        return
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    os.environ["CUDA_VISIBLE_DEVICES"] = visible if device == "cuda" else ""


if __name__ == "__main__":
    code = main(sys.argv[1:])
    if set(sys.argv[1:2]) & set(REHEARSALS):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # without taking apart all that was imported, which takes a quarter of a second
    sys.exit(code)
