"""Checkpoints that are complete or invisible, with plain files in the place of tensors."""

from __future__ import annotations

import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest

from finefit.errors import RunFailed
from finefit.units import MIB
from finefit.worker.checkpoints import MANIFEST, newest_complete, publish, refuse_full_disk, rotate, sweep, wrong_with

FILES = ("adapter_model.safetensors", "optimizer.pt", "rng_state.pth", "scheduler.pt", "trainer_state.json")


def saved(folder: Path, step: int) -> Path:
    partial = folder / ".partial" / f"checkpoint-{step}"
    partial.mkdir(parents=True)
    for name in FILES:
        (partial / name).write_bytes(f"{name} at {step} ".encode() * 50)
    final = folder / f"checkpoint-{step}"
    publish(partial, final, {"step": step})
    return final


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-7])


def zero(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[20:40] = bytes(20)
    file.write_bytes(content)


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
@pytest.mark.parametrize("damage", [truncate, Path.unlink, zero, lambda file: file.write_bytes(b"")])
def test_any_damage_is_named_and_the_one_before_is_used(
    tmp_path: Path, name: str, damage: Callable[[Path], object]
) -> None:
    """Whichever file of the newest checkpoint is cut, gone, changed or empty, the one before it is resumed."""
    good, torn = saved(tmp_path, 4), saved(tmp_path, 10)
    assert newest_complete(tmp_path, pytest.fail) == torn
    damage(torn / name)
    said: list[str] = []
    assert newest_complete(tmp_path, said.append) == good
    assert len(said) == 1
    assert "checkpoint-10" in said[0]
    assert name in said[0]


def test_steps_are_numbers(tmp_path: Path) -> None:
    """Step 10 is newer than step 9."""
    saved(tmp_path, 9)
    newest = saved(tmp_path, 10)
    assert newest_complete(tmp_path, pytest.fail) == newest


def test_no_checkpoint_is_an_answer(tmp_path: Path) -> None:
    """A run that has saved nothing has no checkpoint, and that is all."""
    assert newest_complete(tmp_path / "missing", pytest.fail) is None
    assert newest_complete(tmp_path, pytest.fail) is None


def test_what_is_being_written_is_invisible(tmp_path: Path) -> None:
    """A checkpoint that was never finished is neither found nor kept."""
    good = saved(tmp_path, 2)
    (tmp_path / ".partial" / "checkpoint-4").mkdir(parents=True, exist_ok=True)
    assert newest_complete(tmp_path, pytest.fail) == good
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-2"]


def test_a_damaged_checkpoint_is_written_again(tmp_path: Path) -> None:
    """A step that is trained again replaces its damaged checkpoint."""
    torn = saved(tmp_path, 6)
    truncate(torn / "optimizer.pt")
    assert wrong_with(torn)
    assert wrong_with(saved(tmp_path, 6)) is None


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_rotation_keeps_the_newest(tmp_path: Path, keep: int) -> None:
    """Of the checkpoints up to now, the newest `keep` stay; a damaged later one never displaces them."""
    for step in (2, 4, 6, 8, 10):
        saved(tmp_path, step)
    rotate(tmp_path, keep, newest=8)
    left = {path.name for path in tmp_path.glob("checkpoint-*")}
    assert left == {"checkpoint-10", *[f"checkpoint-{step}" for step in (4, 6, 8)[-keep:]]}


def test_a_full_disk_is_seen_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Saving is refused, with both numbers, where it would not fit."""
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9 - 70 * MIB, 70 * MIB))
    refuse_full_disk(tmp_path, 5 * MIB)
    with pytest.raises(RunFailed, match=r"71\.0 MiB are needed.*70\.0 MiB are free"):
        refuse_full_disk(tmp_path, 7 * MIB)
