"""The process that starts a run's ranks, one for each GPU or part of the processor, and answers for them.

It is our own and not torchrun: torchrun gives what it stops thirty seconds, and saving a checkpoint may take longer;
and of a rank that dies it tells a page, where one line says why. Ranks are forked, from a process that has not imported
torch. They find each other by the variables that torchrun would set: on this machine's loopback, or where the machines
of a run have met (`meeting.py`), each with a leader of its own.

Knows: this machine's share of the ranks. Where one ends badly, or another machine says that one did, the others are
killed, and the reason is told once: of a rank that was ended from outside, or else of the one that said first what was
wrong; the others only lost it. An interrupt is told to all, which stop together (`group.SharedStop`).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finefit.errors import RunFailed
from finefit.nouns.nodes import Nodes

from ..stop import EXIT_STOPPED, Stop
from .meeting import ENDED, SAID, Fault, Meeting

POLL_SECONDS = 0.05
LAST_WORDS_SECONDS = 1.0
"""After a rank has ended badly: the one whose fault it was may end a moment later than one that lost it."""


def lead(meeting: Meeting, orders: Mapping[str, Any], nodes: Nodes, stop: Stop, rank: Callable[[int], int]) -> int:
    """The exit code of this machine's first rank; `rank` is what each does, in a process of its own, by its number
    among all. Raises `RunFailed`."""
    share = nodes.share(orders["engine"]["ranks"])
    _forget_reasons(meeting.run, share)
    told = {number: _variables(orders, number, nodes, meeting) for number in share}
    ranks = Ranks({number: _forked(rank, number, told[number], meeting) for number in share})
    try:
        _follow(ranks, stop, meeting)
        if ranks.is_broken or meeting.faults:
            meeting.tell(_fault(_reasons(meeting.run, share), ranks))
            _wait_for_last_words(ranks, meeting)
    finally:
        ranks.kill()
    fault = meeting.end(_fault(_reasons(meeting.run, share), ranks))
    _forget_reasons(meeting.run, share)
    if fault is not None:
        raise RunFailed(fault.text)
    return ranks.codes[share.start]


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


def _follow(ranks: Ranks, stop: Stop, meeting: Meeting) -> None:
    """Until all have ended, or one has ended badly, here or elsewhere."""
    is_told = False
    while True:
        ranks.read()
        meeting.listen()
        if not ranks.alive or ranks.is_broken or meeting.faults:
            return
        if stop.asked and not is_told:
            is_told = True
            ranks.tell(signal.SIGTERM)
        time.sleep(POLL_SECONDS)


def _wait_for_last_words(ranks: Ranks, meeting: Meeting) -> None:
    deadline = time.monotonic() + LAST_WORDS_SECONDS
    while (ranks.alive or meeting.lines) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        ranks.read()
        meeting.listen()


def _fault(said: Mapping[int, dict[str, Any]], ranks: Ranks) -> Fault | None:
    """Of this machine's ranks; none where all ended well, or were killed for another machine's fault."""
    bad = {number: code for number, code in ranks.codes.items() if code not in (0, EXIT_STOPPED)}
    own = [number for number in bad if number not in ranks.killed]
    ended = [number for number in own if bad[number] < 0]
    if ended:
        number = ended[0]
        how = signal.Signals(-bad[number])
        why = "by the system, probably because memory ran out" if how == signal.SIGKILL else f"by {how.name}"
        return Fault(ENDED, time.time(), f"rank {number} was ended {why}; the others were stopped")
    if said:
        first = min(said, key=lambda number: said[number]["time"])
        return Fault(SAID, said[first]["time"], f"rank {first}: {said[first]['reason']}")
    if own:
        text = f"rank {own[0]} ended with exit code {bad[own[0]]}; the others were stopped"
        return Fault(SAID, time.time(), text)
    return None


def _reasons(run: Path, share: Iterable[int]) -> dict[int, dict[str, Any]]:
    """Of the ranks that left one."""
    return {number: json.loads(path.read_text()) for number in share if (path := _reason(run, number)).exists()}


def _forget_reasons(run: Path, share: Iterable[int]) -> None:
    for number in share:
        _reason(run, number).unlink(missing_ok=True)


def _reason(run: Path, number: int) -> Path:
    return run / f".reason-{number}.json"


def _variables(orders: Mapping[str, Any], number: int, nodes: Nodes, meeting: Meeting) -> dict[str, str]:
    """As torchrun sets them. A rank on a GPU sees its own alone, which is the first of those that it sees."""
    ranks, on_gpu = orders["engine"]["ranks"], orders["device"] == "cuda"
    share = nodes.share(ranks)
    local, count = number - share.start, len(share)
    told = {
        "RANK": str(number),
        "LOCAL_RANK": "0" if on_gpu else str(local),
        "WORLD_SIZE": str(ranks),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": nodes.address,
        "MASTER_PORT": str(meeting.port),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 2) // count))),
    }
    if sys.platform == "linux" and nodes.count == 1:
        told["GLOO_SOCKET_IFNAME"] = "lo"
    if not on_gpu:
        return {**told, "DS_ACCELERATOR": "cpu"}
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    cards = [str(card) for card in range(count)] if visible is None else visible.split(",")
    return {**told, "CUDA_VISIBLE_DEVICES": cards[local].strip()}


def _forked(rank: Callable[[int], int], number: int, variables: Mapping[str, str], meeting: Meeting) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        meeting.leave()
        os.environ |= variables
        code = rank(number)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # threads of a broken group would be waited for
