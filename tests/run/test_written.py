"""Files of a plan in a folder."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from finefit import whole
from finefit.errors import BadInput
from finefit.run.written import LIST, write_files

FIRST = {"job.yaml": "a: 1\n", "train.py": "x = 1\n"}
SECOND = {"job.yaml": "a: 2\n", "launch.txt": "python train.py\n"}


def texts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.name != LIST}


def test_a_new_folder_has_all_of_its_files(tmp_path: Path) -> None:
    """With their digests, as sha256sum reads them, and nothing else beside it."""
    folder = tmp_path / "a" / "plan"
    assert write_files(folder, FIRST) == {name: folder / name for name in FIRST}
    assert texts(folder) == FIRST
    assert [path.name for path in folder.parent.iterdir()] == ["plan"]
    subprocess.run(["sha256sum", "--check", "--quiet", LIST], cwd=folder, check=True)


def test_files_of_an_earlier_plan_are_replaced(tmp_path: Path) -> None:
    """Those that it does not write stay, and stay ours."""
    write_files(tmp_path / "plan", FIRST)
    write_files(tmp_path / "plan", SECOND)
    assert texts(tmp_path / "plan") == FIRST | SECOND
    write_files(tmp_path / "plan", FIRST)
    assert texts(tmp_path / "plan") == SECOND | FIRST


@pytest.mark.parametrize("ours", [False, True])
def test_what_finefit_did_not_write_is_never_replaced(tmp_path: Path, ours: bool) -> None:
    """Neither a file of the user's, nor one of ours that the user changed; and then nothing else is written."""
    if ours:
        write_files(tmp_path, FIRST)
    for name in FIRST:
        (tmp_path / name).write_text("mine\n")
    before = texts(tmp_path)
    with pytest.raises(BadInput) as refused:
        write_files(tmp_path, {**SECOND, "train.py": "x = 2\n"})
    assert [problem.where for problem in refused.value.problems] == [
        str(tmp_path / "job.yaml"),
        str(tmp_path / "train.py"),
    ]
    assert {problem.why for problem in refused.value.problems} == {
        "it was changed since finefit wrote it" if ours else "finefit did not write it"
    }
    assert texts(tmp_path) == before


def test_a_folder_of_other_files_is_added_to(tmp_path: Path) -> None:
    """They stay as they are."""
    (tmp_path / "notes.txt").write_text("mine")
    write_files(tmp_path, FIRST)
    assert texts(tmp_path) == FIRST | {"notes.txt": "mine"}


@pytest.mark.parametrize("writes", range(4))
def test_files_are_whole_or_as_before_however_writing_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    """After any number of renames each file is the old or the new one, whole; and the next plan may replace them."""
    write_files(tmp_path / "plan", FIRST)
    write, done = whole.write, []

    def some(path: Path, text: str) -> None:
        if len(done) == writes:
            raise KeyboardInterrupt
        done.append(path)
        write(path, text)

    monkeypatch.setattr(whole, "write", some)
    new = {"job.yaml": "a: 3\n", "train.py": "x = 3\n"}
    with pytest.raises(KeyboardInterrupt):
        write_files(tmp_path / "plan", new)
    found = texts(tmp_path / "plan")
    assert all(found[name] in (FIRST[name], new[name]) for name in FIRST)
    monkeypatch.undo()
    third = {"job.yaml": "a: 4\n", "train.py": "x = 4\n"}
    write_files(tmp_path / "plan", third)
    assert texts(tmp_path / "plan") == third


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    """And stays a file."""
    (tmp_path / "plan").write_text("mine")
    with pytest.raises(BadInput, match="this is a file"):
        write_files(tmp_path / "plan", FIRST)
    assert (tmp_path / "plan").read_text() == "mine"
