"""The process that starts a run's ranks, one for each GPU or part of the processor, and answers for them.

It is our own and not torchrun: torchrun gives what it stops thirty seconds, and saving a checkpoint may take longer;
and of a rank that dies it tells a page, where one line says why. Ranks are forked, from a process that has not imported
torch. They find each other by the variables that torchrun would set, on this machine's loopback.

Knows: ranks of one machine. Where one ends badly, the others are killed, and the reason is told once: of a rank that
was ended from outside, or else of the one that said first what was wrong; the others only lost it. An interrupt is told
to all, which stop together (`group.SharedStop`). Does not know: ranks of other machines.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finefit.errors import RunFailed

from ..stop import EXIT_STOPPED, Stop

POLL_SECONDS = 0.05
LAST_WORDS_SECONDS = 1.0
"""After a rank has ended badly: the one whose fault it was may end a moment later than one that lost it."""


def lead(run: Path, orders: Mapping[str, Any], stop: Stop, rank: Callable[[int], int]) -> int:
    """The exit code of the first rank; `rank` is what each does, in a process of its own. Raises `RunFailed`."""
    count = orders["engine"]["ranks"]
    _reasons(run, count)
    port = _free_port()
    ranks = Ranks({number: _forked(rank, number, _variables(orders, number, port)) for number in range(count)})
    try:
        _follow(ranks, stop)
    finally:
        ranks.kill()
    said = _reasons(run, count)
    bad = {number: code for number, code in ranks.codes.items() if code not in (0, EXIT_STOPPED)}
    if bad:
        raise RunFailed(_told_once(said, bad, ranks.killed))
    return ranks.codes[0]


def leave_reason(run: Path, number: int, reason: str) -> None:
    """Of a rank that fails, for the leader."""
    _reason(run, number).write_text(json.dumps({"time": time.time(), "reason": reason}))


@dataclass
class Ranks:
    pids: dict[int, int]
    codes: dict[int, int] = field(default_factory=dict)
    # of those that have ended; negative: by a signal
    killed: set[int] = field(default_factory=set)
    # by the leader

    def read(self) -> None:
        for number, pid in self.pids.items():
            if number not in self.codes:
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    self.codes[number] = os.waitstatus_to_exitcode(status)

    @property
    def alive(self) -> list[int]:
        return [number for number in self.pids if number not in self.codes]

    @property
    def is_broken(self) -> bool:
        return any(code not in (0, EXIT_STOPPED) for code in self.codes.values())

    def tell(self, number: int) -> None:
        for rank in self.alive:
            os.kill(self.pids[rank], number)

    def kill(self) -> None:
        self.read()
        self.killed.update(self.alive)
        self.tell(signal.SIGKILL)
        for rank in self.alive:
            self.codes[rank] = os.waitstatus_to_exitcode(os.waitpid(self.pids[rank], 0)[1])


def _follow(ranks: Ranks, stop: Stop) -> None:
    """Until all have ended, or one has ended badly."""
    is_told = False
    while True:
        ranks.read()
        if not ranks.alive:
            return
        if ranks.is_broken:
            break
        if stop.asked and not is_told:
            is_told = True
            ranks.tell(signal.SIGTERM)
        time.sleep(POLL_SECONDS)
    deadline = time.monotonic() + LAST_WORDS_SECONDS
    while ranks.alive and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        ranks.read()


def _told_once(said: Mapping[int, dict[str, Any]], bad: Mapping[int, int], killed: set[int]) -> str:
    ended = [number for number, code in bad.items() if code < 0 and number not in killed]
    if ended:
        number = ended[0]
        how = signal.Signals(-bad[number])
        why = "by the system, probably because memory ran out" if how == signal.SIGKILL else f"by {how.name}"
        return f"rank {number} was ended {why}; the others were stopped"
    if not said:
        number = next(number for number in bad if number not in killed)
        return f"rank {number} ended with exit code {bad[number]}; the others were stopped"
    first = min(said, key=lambda number: said[number]["time"])
    return f"rank {first}: {said[first]['reason']}"


def _reasons(run: Path, count: int) -> dict[int, dict[str, Any]]:
    """Of the ranks that left one; none stays."""
    found = {number: path for number in range(count) if (path := _reason(run, number)).exists()}
    said = {number: json.loads(path.read_text()) for number, path in found.items()}
    for path in found.values():
        path.unlink()
    return said


def _reason(run: Path, number: int) -> Path:
    return run / f".reason-{number}.json"


def _variables(orders: Mapping[str, Any], number: int, port: int) -> dict[str, str]:
    """As torchrun sets them. A rank on a GPU sees its own alone, which is the first of those that it sees."""
    count, on_gpu = orders["engine"]["ranks"], orders["device"] == "cuda"
    told = {
        "RANK": str(number),
        "LOCAL_RANK": "0" if on_gpu else str(number),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 2) // count))),
    }
    if sys.platform == "linux":
        told["GLOO_SOCKET_IFNAME"] = "lo"
    if not on_gpu:
        return {**told, "DS_ACCELERATOR": "cpu"}
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    cards = [str(card) for card in range(count)] if visible is None else visible.split(",")
    return {**told, "CUDA_VISIBLE_DEVICES": cards[number].strip()}


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _forked(rank: Callable[[int], int], number: int, variables: Mapping[str, str]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.environ |= variables
        code = rank(number)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # threads of a broken group would be waited for
