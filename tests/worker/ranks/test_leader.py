"""Ranks that only end, one way or another: what their leader makes of it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finefit.errors import RunFailed
from finefit.nouns.nodes import Nodes
from finefit.worker.ranks.leader import lead, leave_reason
from finefit.worker.ranks.meeting import Meeting
from finefit.worker.stop import EXIT_STOPPED

LONG = 60.0
"""Seconds; no test waits for them."""
Rank = Callable[[int], int]
ALONE = Nodes()


class Asked:
    """A stop that is never asked for."""

    asked = False


def led(run: Path, rank: Rank, count: int = 3, *, device: str = "cpu", stop: Any = None, nodes: Nodes = ALONE) -> int:
    orders = {"device": device, "engine": {"name": "ddp", "ranks": count}}
    return lead(Meeting(nodes.number, run, 4711), orders, nodes, stop or Asked(), rank)


def reason(run: Path, rank: Rank, **words: Any) -> str:
    with pytest.raises(RunFailed) as caught:
        led(run, rank, **words)
    assert not list(run.glob(".reason-*"))
    return str(caught.value)


def waits(_number: int) -> int:
    time.sleep(LONG)
    return 0


def test_all_well_is_the_first_ranks_word(tmp_path: Path) -> None:
    """Others may end before it."""
    assert led(tmp_path, lambda number: time.sleep(0.3 if number == 0 else 0) or 0) == 0


def test_the_first_to_say_what_was_wrong_is_heard(tmp_path: Path) -> None:
    """Another one fails a moment later because it lost the first, and one waits for ever: nobody is left."""
    started = time.monotonic()

    def rank(number: int) -> int:
        if number == 0:
            return waits(number)
        time.sleep(0.1 if number == 1 else 0)
        leave_reason(tmp_path, number, "connection closed by peer" if number == 1 else "the disk is full")
        return 1

    assert reason(tmp_path, rank) == "rank 2: the disk is full"
    assert time.monotonic() - started < LONG / 2


def test_a_rank_that_was_killed_comes_before_what_others_say(tmp_path: Path) -> None:
    """It could say nothing itself."""

    def rank(number: int) -> int:
        if number == 1:
            time.sleep(0.1)
            os.kill(os.getpid(), signal.SIGKILL)
        leave_reason(tmp_path, number, "connection closed by peer")
        time.sleep(0.05)
        return 1

    assert reason(tmp_path, rank).startswith("rank 1 was ended by the system")


def test_a_rank_that_says_nothing_is_told_by_its_exit_code(tmp_path: Path) -> None:
    assert reason(tmp_path, lambda number: 7 if number == 1 else waits(number)).startswith(
        "rank 1 ended with exit code 7"
    )


def test_an_interrupt_is_told_to_all(tmp_path: Path) -> None:
    """Each ends as it can, and the run is stopped, not failed."""

    def rank(_number: int) -> int:
        heard: list[int] = []
        signal.signal(signal.SIGTERM, lambda number, _frame: heard.append(number))
        Path(tmp_path, f"listens-{_number}").touch()
        deadline = time.monotonic() + LONG
        while not heard and time.monotonic() < deadline:
            time.sleep(0.01)
        return EXIT_STOPPED if heard else 1

    class Later:
        @property
        def asked(self) -> bool:
            return len(list(tmp_path.glob("listens-*"))) == 3

    assert led(tmp_path, rank, stop=Later()) == EXIT_STOPPED


@pytest.mark.parametrize(
    ("device", "visible", "seen", "local"),
    [
        ("cpu", None, ["", ""], ["0", "1"]),
        ("cuda", None, ["0", "1"], ["0", "0"]),
        ("cuda", "3,GPU-7", ["3", "GPU-7"], ["0", "0"]),
    ],
)
def test_each_rank_sees_its_own_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, visible: str | None, seen: list[str], local: list[str]
) -> None:
    """The number of it among those that the user lets be seen; on a processor, none is opened."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    names = ("CUDA_VISIBLE_DEVICES", "LOCAL_RANK", "RANK", "WORLD_SIZE", "MASTER_PORT")

    def rank(number: int) -> int:
        (tmp_path / f"{number}").write_text(" | ".join(os.environ.get(name, "") for name in names))
        return 0

    assert led(tmp_path, rank, 2, device=device) == 0
    told = [(tmp_path / str(number)).read_text().split(" | ") for number in range(2)]
    assert [(one[0], one[1], one[2], one[3]) for one in told] == [
        (card, place, str(number), "2") for number, (card, place) in enumerate(zip(seen, local, strict=True))
    ]
    assert told[0][4] == told[1][4] != ""


def test_a_further_machines_ranks_go_on_counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own cards are counted from the first."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    names = ("RANK", "LOCAL_RANK", "CUDA_VISIBLE_DEVICES", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR")

    def rank(number: int) -> int:
        (tmp_path / f"{number}").write_text(" ".join(os.environ[name] for name in names))
        return 0

    nodes = Nodes(3, 1, "first")
    assert led(tmp_path, rank, 6, device="cuda", nodes=nodes) == 0
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "2": "2 0 0 6 2 first",
        "3": "3 0 1 6 2 first",
    }
