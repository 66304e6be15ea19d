"""The worker as a process, without torch: its environment, its signals, its last words."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from finefit.errors import RunFailed
from finefit.worker.__main__ import main, one_line, prepare
from finefit.worker.stop import Stop, Stopped


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (RunFailed("the disk is too full", "a log"), "the disk is too full"),
        (ValueError("first\nsecond"), "ValueError: first"),
        (KeyError(), "KeyError: KeyError"),
        (OSError(errno.ENOSPC, "No space left on device"), "no space is left on the disk"),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), "torch is not installed; try: pip install"),
    ],
)
def test_a_failure_is_told_in_one_line(error: Exception, line: str) -> None:
    """Ours as they are, others with their name, and common ones in plain words."""
    assert one_line(error).startswith(line)
    assert "\n" not in one_line(error)


def test_the_environment_follows_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """One card for a run on a GPU, none for one on the processor; the threads that a user set stay."""
    for visible, device, seen in (("2,3", "cuda", "2"), (None, "cuda", "0"), ("2,3", "cpu", ""), (None, "cpu", "")):
        monkeypatch.setattr(os, "environ", {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible})
        prepare({}, device)
        assert os.environ["CUDA_VISIBLE_DEVICES"] == seen
        assert os.environ["HF_HUB_OFFLINE"] == "1"
        assert int(os.environ["OMP_NUM_THREADS"]) >= 1
    monkeypatch.setattr(os, "environ", {"OMP_NUM_THREADS": "7"})
    prepare({"online": True}, "cpu")
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "HF_HUB_OFFLINE" not in os.environ


def test_a_worker_whose_supervisor_is_gone_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody hears an orphan: it saves and stops, as if it had been asked to."""
    stop = Stop()
    stop.check()
    monkeypatch.setattr(os, "getppid", lambda: 1 if stop._parent != 1 else 2)
    with pytest.raises(Stopped):
        stop.check()


LISTENER = """
import time
from finefit.worker.stop import Stop
stop = Stop()
stop.listen()
print("listening", flush=True)
while not stop.asked:
    time.sleep(0.01)
print("asked", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_asks_and_the_second_ends(number: signal.Signals) -> None:
    """A signal only sets a flag; one more ends the process where it stands."""
    with subprocess.Popen([sys.executable, "-c", LISTENER], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "listening\n"
        process.send_signal(number)
        assert process.stdout.readline() == "asked\n"
        process.send_signal(number)
        assert process.wait(10) == 128 + number


def test_wrong_words_show_what_is_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown verb is bad input, and a run that is none fails with a reason in its events."""
    assert main(["fly"]) == 2
    assert "train RUN" in capsys.readouterr().err
    assert main(["train", str(tmp_path)]) == 1
    assert "FileNotFoundError" in (tmp_path / "events.jsonl").read_text()
