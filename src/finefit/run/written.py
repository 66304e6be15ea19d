"""Files of a plan in a folder: each is there whole or not at all, and no file of somebody else's is replaced.

A folder that is new appears with all of its files at once. In one that is there, each file is replaced by a rename; a
list of names and digests says which are ours. A file that was changed since is the user's.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from finefit import whole
from finefit.errors import BadInput, Problem

from .aside import aside

LIST = ".finefit-files"
"""As sha256sum writes it: a digest and a name a line. While files are replaced, a name has two."""
Digests = frozenset[tuple[str, str]]


def write_files(folder: Path, files: Mapping[str, str]) -> dict[str, Path]:
    """By name, where each lies now. Raises `BadInput` where one would replace what is not ours."""
    if folder.exists() and not folder.is_dir():
        raise BadInput(Problem("this is a file", where=str(folder), hint="a folder for the plan's files"))
    if folder.is_dir() and any(folder.iterdir()):
        _replace(folder, files)
    else:
        with aside(folder) as partial:
            for name, text in {**files, LIST: _listed(_digests(files))}.items():
                (partial / name).write_text(text, encoding="utf-8")
    return {name: folder / name for name in files}


def _replace(folder: Path, files: Mapping[str, str]) -> None:
    ours, new = _read(folder), _digests(files)
    problems = list(_not_ours(folder, files, ours | new))
    if problems:
        raise BadInput(*problems)
    whole.write(folder / LIST, _listed(ours | new))  # first: what is replaced halfway is ours still
    for name, text in files.items():
        whole.write(folder / name, text)
    whole.write(folder / LIST, _listed({one for one in ours if one[1] not in files} | new))


def _not_ours(folder: Path, files: Mapping[str, str], ours: Digests) -> Iterator[Problem]:
    for name in files:
        path = folder / name
        if os.path.lexists(path) and (not path.is_file() or (_digest(path.read_bytes()), name) not in ours):
            was_ours = any(name == known for _, known in ours - _digests(files))
            why = "it was changed since finefit wrote it" if was_ours else "finefit did not write it"
            yield Problem("would be replaced", str(path), why, "another folder, or move that file away")


def _read(folder: Path) -> Digests:
    try:
        lines = (folder / LIST).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return frozenset()
    return frozenset((digest, name) for digest, _, name in (line.partition("  ") for line in lines))


def _digests(files: Mapping[str, str]) -> Digests:
    return frozenset((_digest(text.encode()), name) for name, text in files.items())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _listed(digests: frozenset[tuple[str, str]] | set[tuple[str, str]]) -> str:
    return "".join(f"{digest}  {name}\n" for digest, name in sorted(digests, key=lambda one: (one[1], one[0])))
