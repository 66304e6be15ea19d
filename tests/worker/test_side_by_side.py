"""Calls beside each other in forked children."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import pytest
import recipes

from finefit.errors import BadInput, Problem, RunFailed
from finefit.worker import rehearse, side_by_side
from finefit.worker.reason import one_line

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere calls run one after the other")

OrdersMaker = Callable[..., dict[str, Any]]


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Calls something on so many cores."""

    def call(cores: int, function: Callable[..., Any], *arguments: Any) -> Any:
        monkeypatch.setattr(side_by_side, "cores", lambda: cores)
        with contextlib.redirect_stdout(io.StringIO()):
            return function(*arguments)

    return call


def slowly(number: int) -> list[int]:
    time.sleep(0.02 * (number % 3))
    return [number, os.getpid()]


def test_results_come_in_the_order_of_the_calls(beside: Callable[..., Any]) -> None:
    """Whichever child makes a call and whenever it is done; there are no more children than cores."""
    for cores in (1, 2, 4):
        told = beside(cores, side_by_side.side_by_side, [partial(slowly, number) for number in range(9)])
        assert [number for number, _ in told] == list(range(9))
        processes = {process for _, process in told}
        assert len(processes) <= cores
        assert (os.getpid() in processes) == (cores == 1)
    assert beside(2, side_by_side.side_by_side, []) == []


def turns(words: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": "w1"}, {"role": "assistant", "content": "w2 " * words}]


def answered(orders: dict[str, Any], folder: Path) -> dict[str, Any]:
    (folder / "orders.json").write_text(json.dumps(orders))
    rehearse.main(str(folder / "orders.json"), str(folder / "out.json"))
    answer: dict[str, Any] = json.loads((folder / "out.json").read_text())
    return answer | {"seconds": 0}


def test_rehearsals_beside_each_other_are_those_one_after_the_other(
    beside: Callable[..., Any], orders: OrdersMaker, tmp_path: Path
) -> None:
    """To the byte: recordings, what is known of the rows, and the shorter ones; and takes."""
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"messages": turns(words)}) + "\n" for words in (90, 20, 55)))
    few = [[[0], 1], [[0, 1], 1]]
    rehearsal = recipes.orders()["rehearsal"] | {"kinds": "aa", "layers": few, "takes": [], "shorter": True}
    takes = [[layers, 1, length, 4] for layers in few for length in (40, 64)]
    with_rows = orders(rehearsal=rehearsal, data={"train": str(rows), "eval": str(rows)})
    takes_alone = rehearsal | {"layers": [], "takes": takes}
    without = orders(rehearsal=takes_alone, data=None, assistant_only_loss=False)
    for asked in (with_rows, without):
        one, two = (beside(cores, answered, asked, tmp_path) for cores in (1, 2))
        assert one == two
        assert [len(two[part]) for part in ("recordings", "shorter", "takes")] in ([2, 2, 0], [0, 0, 4])


PROBLEMS = (Problem("is missing", "rows.jsonl:3", "a why", "a hint"), Problem("is wrong", "rows.jsonl:4"))


def wrong() -> NoReturn:
    raise BadInput(*PROBLEMS)


def fails() -> NoReturn:
    time.sleep(0.1)
    raise ValueError("first\nsecond")


def ends(number: int) -> None:
    os.kill(os.getpid(), number)


def test_an_error_in_a_child_is_the_same_message(beside: Callable[..., Any]) -> None:
    """Bad input arrives with all its problems, what else fails in its one line."""
    for cores in (1, 2):
        with pytest.raises(BadInput) as bad:
            beside(cores, side_by_side.side_by_side, [int, wrong])
        assert bad.value.problems == PROBLEMS
        with pytest.raises((ValueError, RunFailed)) as failed:
            beside(cores, side_by_side.side_by_side, [int, fails])
        assert one_line(failed.value) == "ValueError: first"


def test_a_failing_call_shows_where_in_the_log(beside: Callable[..., Any], capfd: pytest.CaptureFixture[str]) -> None:
    """Its own traceback, of the child."""
    with pytest.raises(RunFailed):
        beside(2, side_by_side.side_by_side, [int, fails])
    assert "in fails" in capfd.readouterr().err


def test_the_first_error_is_told_and_later_calls_are_not_made(beside: Callable[..., Any], tmp_path: Path) -> None:
    """As if they ran one after the other, though a later call fails sooner."""
    later = [partial((tmp_path / str(number)).touch) for number in range(9)]
    with pytest.raises(RunFailed, match="ValueError: first"):
        beside(2, side_by_side.side_by_side, [partial(time.sleep, 0.03), fails, wrong, *later])
    assert not list(tmp_path.iterdir())


def test_a_child_that_is_killed_fails_all(beside: Callable[..., Any]) -> None:
    """The system ends what takes too much memory, and says nothing itself."""
    with pytest.raises(RunFailed, match="SIGKILL, probably because memory ran out"):
        beside(2, side_by_side.side_by_side, [partial(ends, signal.SIGKILL), int, int])


def rests(folder: Path) -> None:
    (folder / str(os.getpid())).touch()
    time.sleep(60)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_children_end_with_their_parent(beside: Callable[..., Any], tmp_path: Path, number: signal.Signals) -> None:
    """However it is ended."""
    parent = os.fork()
    if not parent:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with contextlib.suppress(KeyboardInterrupt):
            beside(2, side_by_side.side_by_side, [partial(rests, tmp_path)] * 2)
        os._exit(0)
    wait_until(lambda: len(list(tmp_path.iterdir())) == 2)
    while os.waitpid(parent, os.WNOHANG) == (0, 0):  # a signal just before a wait does not interrupt it
        os.kill(parent, number)
        time.sleep(0.5)
    wait_until(lambda: not any(is_alive(int(path.name)) for path in tmp_path.iterdir()))


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.01)
