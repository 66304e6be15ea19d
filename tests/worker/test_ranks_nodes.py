"""Two machines of one run, which are both this one: each has a leader, and a rank."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from ranked import ENGINES, Orders, of, on_ranks

from finefit.worker.ranks.meeting import free_port
from finefit.worker.stop import EXIT_STOPPED

pytestmark = pytest.mark.xdist_group("ranks")

HERE = "127.0.0.1"
WAIT_SECONDS = 90


def told_of_two(number: int, port: int) -> dict[str, str]:
    told = {"NNODES": "2", "NODE_RANK": str(number), "MASTER_ADDR": HERE, "MASTER_PORT": str(port)}
    return told | {"GLOO_SOCKET_IFNAME": "lo"}


class Machines:
    """Of a run: the first, which has its folder, and a second that joins it."""

    def __init__(self, run: Any, forker: Any, folder: Path) -> None:
        self.run, self.forker, self.folder = run, forker, folder
        self.events = folder / "second.jsonl"

    def start(self, resume: bool = False) -> tuple[Any, Any]:
        """The second is there before the first one listens."""
        port = free_port(HERE)
        log, told = self.folder / "second.log", told_of_two(1, port)
        second = self.forker.start("join", self.events, log=log, environment=told)
        return self.run.start(resume, told_of_two(0, port)), second

    def heard(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.events.read_text().splitlines()]

    def until(self, reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while not reached():
            assert time.monotonic() < deadline, self.run.log.read_text()[-2000:]
            time.sleep(0.01)


@pytest.fixture
def machines(
    new_run: Callable[..., Any], orders: Callable[..., Orders], forker: Any, tmp_path: Path
) -> Callable[..., Machines]:
    def make(name: str, **changes: Any) -> Machines:
        return Machines(new_run(**on_ranks(orders(**changes), ENGINES[name])), forker, tmp_path)

    return make


@pytest.mark.wide(1)
@pytest.mark.parametrize("name", of("ddp", "zero 2", "zero 3"))
def test_two_machines_train_as_one_does(
    name: str, machines: Callable[..., Machines], new_run: Callable[..., Any], orders: Callable[..., Orders]
) -> None:
    """To the last bit: ranks do not know whose they are. Stopped on the second machine both stop, and go on."""
    alone = new_run(**on_ranks(orders(), ENGINES[name]))
    assert alone.finish() == 0, alone.log.read_text()[-3000:]
    pair = machines(name, save_steps=50)
    first, second = pair.start()
    pair.until(lambda: pair.run.at_step(3))
    assert second.end(signal.SIGTERM) == EXIT_STOPPED
    assert first.wait() == EXIT_STOPPED
    [saved] = [event["step"] for event in pair.run.events("checkpoint")]
    first, second = pair.start(resume=True)
    assert (first.wait(), second.wait()) == (0, 0), pair.run.log.read_text()[-3000:]
    assert [event["resumed_from"] for event in pair.run.events("started")] == [0, saved]
    assert pair.run.curve() == alone.curve()
    assert {event["run"] for event in pair.heard()} == {str(pair.run.path)}


@pytest.mark.parametrize("number", [0, 1])
def test_a_killed_rank_ends_both_machines_with_one_reason(number: int, machines: Callable[..., Machines]) -> None:
    """Wherever it was; nobody is left."""
    pair = machines("ddp", num_train_epochs=200.0, save_steps=5000)
    both = pair.start()
    pair.until(lambda: pair.run.at_step(2))
    ranks = [rank for worker in both for rank in psutil.Process(worker.pid).children()]
    assert len(ranks) == 2
    os.kill(ranks[number].pid, signal.SIGKILL)
    assert [worker.wait() for worker in both] == [1, 1]
    why = f"machine {number}: rank {number} was ended by the system"
    assert pair.run.events("failed")[0]["reason"].startswith(why)
    assert pair.heard()[-1]["reason"].startswith(why)
    assert not [rank for rank in ranks if rank.is_running()]


def test_a_machine_that_is_lost_is_not_waited_for(machines: Callable[..., Machines]) -> None:
    pair = machines("ddp", num_train_epochs=200.0, save_steps=5000)
    first, second = pair.start()
    pair.until(lambda: pair.run.at_step(2))
    ranks = psutil.Process(second.pid).children()
    for process in (second.pid, *(rank.pid for rank in ranks)):  # as if its cable were pulled
        os.kill(process, signal.SIGKILL)
    assert first.wait() == 1
    assert "machine 1" in pair.run.events("failed")[0]["reason"]


@pytest.fixture
def listening(machines: Callable[..., Machines]) -> Iterator[tuple[Machines, Any, int]]:
    """A first machine that waits for its second."""
    pair = machines("ddp")
    port = free_port(HERE)
    first = pair.run.start(environment=told_of_two(0, port))
    pair.until(lambda: bool(pair.run.events("note")))
    yield pair, first, port
    first.terminate()


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n\r\n", b'{"node": 7, "nodes": 2}\n', b"[1]\n", b""])
def test_who_is_no_machine_of_the_run_is_not_counted(said: bytes, listening: tuple[Machines, Any, int]) -> None:
    """It is told so, or hung up on, and the first machine waits on; asked to stop, it does."""
    pair, first, port = listening
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            stranger = socket.create_connection((HERE, port))
            break
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
    with stranger:
        stranger.sendall(said)
        stranger.shutdown(socket.SHUT_WR)
        answer = stranger.recv(4096)
    assert answer == b"" or "refused" in json.loads(answer)
    assert first.poll() is None
    assert first.end(signal.SIGTERM) == EXIT_STOPPED
    assert not pair.run.events("started")


def test_machines_have_a_command_line(model_folder: Path, data: dict[str, str], tmp_path: Path) -> None:
    """The same one on both: the first plans and has the receipt, the other reads no job and says whose share it did."""
    (tmp_path / "job.yaml").write_text(
        f"model: {model_folder}\ndata: {data['train']}\ngpu: 2xcpu\nmax_steps: 2\nglobal_batch_size: 4\n"
    )
    port = free_port(HERE)

    def typed(number: int, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "finefit", "train", *words], cwd=tmp_path, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | told_of_two(number, port),
        )  # fmt: skip

    first, second = typed(0, "job.yaml", "--json"), typed(1, "nowhere.yaml")
    receipt, said = first.communicate(timeout=WAIT_SECONDS)
    answer, heard = second.communicate(timeout=WAIT_SECONDS)
    assert first.returncode == 0, said
    assert second.returncode == 0, heard
    assert "waiting for 1 more at 127.0.0.1" in said
    assert "2 machines: the time is of links within one" in said
    assert len(json.loads(receipt)["ranks"]) == 2
    assert "training this machine's share of" in heard
    assert answer.endswith("is done; the first machine has the receipt\n")


def test_what_a_machine_is_told_wrongly_is_said_at_once(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "finefit", "train", "nowhere.yaml"],
        cwd=tmp_path, capture_output=True, text=True, env=os.environ | {"NNODES": "2", "NODE_RANK": "2"},
    )  # fmt: skip
    assert done.returncode == 2
    assert "NODE_RANK" in done.stderr
    assert "MASTER_ADDR" in done.stderr
