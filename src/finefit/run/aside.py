"""A folder that is there whole or not at all: filled under another name, synced to the disk, and renamed.

Knows: a folder that somebody has filled is never replaced; what a killed process left under the other name goes away
when the same folder is made again. Does not know whether another machine on the same disk still fills it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from finefit import whole
from finefit.errors import BadInput, Problem


def refuse_filled(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise BadInput(Problem("this is a file", where=str(folder), hint="another name for the folder"))
    if folder.is_dir() and any(folder.iterdir()):
        raise BadInput(Problem("is not empty", where=str(folder), hint="another folder, or move that one away"))


@contextmanager
def aside(folder: Path) -> Iterator[Path]:
    """Where to write; it gets its name at the end, unless something is raised."""
    refuse_filled(folder)
    folder = folder.absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    partial = folder.parent / f"{_prefix(folder)}{os.getpid()}"
    partial.mkdir()
    try:
        yield partial
        for path in [*partial.rglob("*"), partial]:
            whole.sync(path)
        partial.rename(folder)  # onto a folder only if it is empty: rename(2)
        whole.sync(folder.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _prefix(folder: Path) -> str:
    return f".partial-{folder.name}-"


def _sweep(folder: Path) -> None:
    for left in folder.parent.glob(f"{_prefix(folder)}*"):
        pid = left.name.removeprefix(_prefix(folder))
        if pid.isdigit() and not _is_alive(int(pid)):
            shutil.rmtree(left, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid != os.getpid()
