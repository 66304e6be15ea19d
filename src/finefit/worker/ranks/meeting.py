"""How the machines of a run find each other, and hear that one of them has failed.

The first one listens where all were told that it is, tells each that comes which run it is and where its ranks meet,
and both keep the line open: lines of JSON, of which the last says how a machine ended. A line that closes without a
last word is a machine that was lost, and nobody waits for it any more: over NCCL its ranks would be waited for by the
others until a timeout of minutes.

Knows: machines that see the same files, so a run's folder is told by its path. Does not know: who may come; as with
torch's own meeting place, the network is trusted, which is why the first one listens at the address it was told and
nowhere else.
"""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import Any

from finefit.errors import RunFailed
from finefit.nouns.nodes import Nodes

PATIENCE_SECONDS = 3600
"""The first one plans before it listens, and the others may be started long before it."""
RETRY_SECONDS = 0.2
LONGEST = 1 << 16
"""Bytes of a line."""


@dataclass(frozen=True, order=True)
class Fault:
    """Of several the least is the one that the others come from: a process that was ended from outside, then a machine
    that was lost, then the first that said what was wrong (clocks of machines are taken to agree)."""

    weight: int
    time: float
    text: str


ENDED, LOST, SAID = range(3)


@dataclass
class Line:
    """To another machine."""

    number: int
    # of the machine at the other end
    opened: socket.socket
    heard: bytes = b""
    has_failed: bool = False
    is_over: bool = False

    def say(self, **words: Any) -> None:
        with suppress(OSError):  # it is gone, which what is heard of it will say
            self.opened.sendall(json.dumps(words).encode() + b"\n")

    def fault(self) -> Fault | None:
        """Of the other machine, where it has one that was not heard before."""
        while not self.is_over and select.select([self.opened], [], [], 0)[0]:
            said = self.told()
            self.is_over = said is None or "ended" in said
            if said is None:
                return None if self.has_failed else Fault(LOST, time.time(), f"machine {self.number} was lost")
            if "failed" in said:
                self.has_failed = True
                return Fault(*said["failed"])
        return None

    def told(self) -> dict[str, Any] | None:
        """The next words; None where the line is closed, or says what no machine of ours would."""
        while b"\n" not in self.heard:
            try:
                more = self.opened.recv(4096)
            except OSError:
                return None
            if not more or len(self.heard) > LONGEST:
                return None
            self.heard += more
        line, _, self.heard = self.heard.partition(b"\n")
        try:
            said = json.loads(line)
        except ValueError:
            return None
        return said if isinstance(said, dict) else None


@dataclass
class Meeting:
    """What a machine knows of the others. The first one hears all of them, and they hear it."""

    number: int
    # of this machine
    run: Path
    port: int
    # of the first machine, where ranks meet
    lines: tuple[Line, ...] = ()
    faults: list[Fault] = field(default_factory=list)
    # of other machines

    def listen(self) -> None:
        self.faults += [fault for line in self.lines if (fault := line.fault()) is not None]

    def tell(self, own: Fault | None) -> Fault | None:
        """Says what failed, here or elsewhere, or that nothing did; returns the fault that the others come from."""
        if own is not None and self.lines:
            own = replace(own, text=f"machine {self.number}: {own.text}")
        first = min([*self.faults, *([own] if own else [])], default=None)
        for line in self.lines:
            line.say(**({"ended": True} if first is None else {"failed": astuple(first)}))
        return first

    def end(self, own: Fault | None) -> Fault | None:
        """Says its last word, as `tell` does."""
        first = self.tell(own)
        self.leave()
        return first

    def leave(self) -> None:
        """Of a process that has no last word: a rank, which would keep the lines open."""
        for line in self.lines:
            line.opened.close()


def hosted(run: Path, nodes: Nodes, check: Callable[[], None]) -> Meeting:
    """On the first machine; `check` is asked while it waits, and may raise. Raises `RunFailed`."""
    if nodes.count == 1:
        return Meeting(0, run, free_port(nodes.address))
    with _listening(nodes) as listening:
        lines: dict[int, Line] = {}
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(lines) < nodes.count - 1:
            check()
            if time.monotonic() > deadline:
                raise RunFailed(f"{_named(set(range(1, nodes.count)) - lines.keys())} did not come within an hour")
            if select.select([listening], [], [], RETRY_SECONDS)[0]:
                line = _greeted(listening.accept()[0], set(range(1, nodes.count)) - lines.keys(), nodes.count)
                if line is not None:
                    lines[line.number] = line
    port = free_port(nodes.address)
    for line in lines.values():
        line.say(run=str(run), port=port)
    return Meeting(0, run, port, tuple(lines.values()))


def joined(nodes: Nodes, check: Callable[[], None]) -> Meeting:
    """On another machine. Raises `RunFailed`."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        check()
        if time.monotonic() > deadline:
            raise RunFailed(f"nobody answered at {nodes.address}:{nodes.port} within an hour")
        try:
            opened = socket.create_connection((nodes.address, nodes.port), timeout=RETRY_SECONDS * 10)
        except OSError:
            time.sleep(RETRY_SECONDS)
            continue
        opened.settimeout(None)
        line = Line(0, opened)
        line.say(node=nodes.number, nodes=nodes.count)
        while not select.select([opened], [], [], RETRY_SECONDS)[0]:
            check()
        said = line.told()
        if said is None or "run" not in said:
            raise RunFailed((said or {}).get("refused", "the first machine closed the line before the run began"))
        return Meeting(nodes.number, Path(said["run"]), said["port"], (line,))


def free_port(address: str) -> int:
    with socket.socket() as found:
        found.bind((address, 0))
        return int(found.getsockname()[1])


def _listening(nodes: Nodes) -> socket.socket:
    try:
        return socket.create_server((nodes.address, nodes.port))
    except OSError as error:
        where = f"{nodes.address}:{nodes.port}"
        raise RunFailed(f"the first machine cannot listen at {where} (MASTER_ADDR, MASTER_PORT): {error}") from None


def _greeted(opened: socket.socket, awaited: Collection[int], count: int) -> Line | None:
    """None where who came is no machine that is waited for, of as many as this one was told."""
    opened.settimeout(RETRY_SECONDS * 10)
    line = Line(-1, opened)
    said = line.told() or {}
    opened.settimeout(None)
    if said.get("nodes") == count and said.get("node") in awaited:
        line.number = int(said["node"])
        return line
    line.say(refused=f"of {count} machines the first one waits for {_named(awaited)}")
    opened.close()
    return None


def _named(numbers: Iterable[int]) -> str:
    return "machine " + ", ".join(map(str, sorted(numbers)))
