"""Folders that are there whole or not at all."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from finefit.errors import BadInput
from finefit.run.aside import aside

FILL = """
import sys, time
from pathlib import Path
from finefit.run.aside import aside
with aside(Path(sys.argv[1])) as partial:
    (partial / "half").write_text("half")
    print("filling", flush=True)
    time.sleep(60)
"""


def test_a_folder_appears_when_it_is_whole(tmp_path: Path) -> None:
    """Until the end only another name exists, and after it only its own."""
    target = tmp_path / "deep" / "out"
    with aside(target) as partial:
        (partial / "file").write_text("all of it")
        assert not target.exists()
    assert [path.name for path in target.parent.iterdir()] == ["out"]
    assert (target / "file").read_text() == "all of it"


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    """Neither name."""

    def fail() -> None:
        with aside(tmp_path / "out") as partial:
            (partial / "file").write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_kill_leaves_no_folder(tmp_path: Path) -> None:
    """What a killed process had begun goes away with the next attempt."""
    process = subprocess.Popen([sys.executable, "-c", FILL, str(tmp_path / "out")], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "out").exists()
    with aside(tmp_path / "out") as partial:
        assert list(tmp_path.iterdir()) == [partial]
        assert list(partial.iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_filled_folder_is_never_replaced(tmp_path: Path) -> None:
    """An empty one is taken; a file, or a folder with anything in it, is the user's."""
    for name in ("file", "folder"):
        (tmp_path / "folder").mkdir(exist_ok=True)
        (tmp_path / "folder" / "x").write_text("theirs")
        (tmp_path / "file").write_text("theirs")
        with pytest.raises(BadInput, match=name), aside(tmp_path / name):
            raise AssertionError
    assert (tmp_path / "file").read_text() == (tmp_path / "folder" / "x").read_text() == "theirs"
    (tmp_path / "empty").mkdir()
    with aside(tmp_path / "empty") as partial:
        (partial / "x").write_text("ours")
    assert (tmp_path / "empty" / "x").read_text() == "ours"
