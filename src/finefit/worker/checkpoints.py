"""Checkpoints that are complete or invisible.

A checkpoint is written under another name, synced to the disk with a manifest of its files' sizes and hashes, and
then renamed. Whatever is called `checkpoint-N` was complete at that moment; `newest_complete` checks that it still is.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from finefit import whole
from finefit.errors import RunFailed
from finefit.nouns.digest import sha256_of
from finefit.units import MIB, human_bytes

MANIFEST = "manifest.json"
SPARE_BYTES = 64 * MIB
"""Left free beside a checkpoint's tensors: tokenizer, trainer state and the run's own log."""


def publish(partial: Path, final: Path, facts: dict[str, Any]) -> int:
    """Turns the complete folder `partial` into `final`, with `facts` in its manifest; returns its bytes."""
    files = {str(file.relative_to(partial)): _describe(file) for file in _files(partial)}
    (partial / MANIFEST).write_text(json.dumps({**facts, "files": files}, indent=1))
    settle(partial, final)
    return sum(int(entry["bytes"]) for entry in files.values())


def settle(partial: Path, final: Path) -> None:
    """Syncs `partial` to the disk and gives it its name, in the place of what may bear that name already."""
    for path in [*_files(partial), *_folders(partial)]:
        whole.sync(path)
    old = final.with_name(f".replaced-{final.name}")
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        final.rename(old)
    partial.rename(final)
    whole.sync(final.parent)
    shutil.rmtree(old, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Removes what a killed worker left unfinished in `folder`; its name begins with a dot."""
    for path in folder.glob(".*") if folder.is_dir() else ():
        if path.is_dir():
            shutil.rmtree(path)


def newest_complete(folder: Path, say: Callable[[str], None]) -> Path | None:
    """The newest checkpoint whose files are all as its manifest says; each newer one is named and skipped."""
    for checkpoint in sorted(_checkpoints(folder), key=step_of, reverse=True):
        reason = wrong_with(checkpoint)
        if reason is None:
            return checkpoint
        say(f"{checkpoint.name} is damaged and is skipped: {reason}")
    return None


def wrong_with(checkpoint: Path) -> str | None:
    """Why a checkpoint cannot be trusted, or None."""
    try:
        expected = read_manifest(checkpoint)["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return f"{MANIFEST} is missing or unreadable"
    for name, entry in expected.items():
        file = checkpoint / name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != entry["bytes"]:
            return f"{name} has {file.stat().st_size} bytes, not {entry['bytes']}"
        if sha256_of(file) != entry["sha256"]:
            return f"{name} has other content than was written"
    return None


def read_manifest(checkpoint: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((checkpoint / MANIFEST).read_text())
    return manifest


def rotate(folder: Path, keep: int, newest: int) -> None:
    """Deletes all but the newest `keep` checkpoints up to step `newest`.

    Later steps than `newest` are of a damaged checkpoint that was skipped; they will be written again.
    """
    steps = sorted((path for path in _checkpoints(folder) if step_of(path) <= newest), key=step_of)
    for path in steps[: -max(keep, 1)]:
        doomed = path.with_name(f".replaced-{path.name}")
        shutil.rmtree(doomed, ignore_errors=True)
        path.rename(doomed)  # never half-deleted under its own name
        shutil.rmtree(doomed, ignore_errors=True)


def refuse_full_disk(folder: Path, nbytes: int) -> None:
    """Fails before anything is written, where `nbytes` would not fit."""
    free = shutil.disk_usage(folder).free
    if free < nbytes + SPARE_BYTES:
        raise RunFailed(
            f"the disk is too full to save: {human_bytes(nbytes + SPARE_BYTES)} are needed in {folder}, "
            f"{human_bytes(free)} are free"
        )


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.rsplit("-", 1)[1])


def _checkpoints(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if path.is_dir() and re.fullmatch(r"checkpoint-\d+", path.name)]


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _folders(folder: Path) -> list[Path]:
    return [*(path for path in folder.rglob("*") if path.is_dir()), folder]


def _describe(file: Path) -> dict[str, Any]:
    return {"bytes": file.stat().st_size, "sha256": sha256_of(file)}
