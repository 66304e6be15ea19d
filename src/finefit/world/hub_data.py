"""Data sets of the Hugging Face hub: at which commit they are, and which of their rows are kept on this machine.

Rows that were fetched lie in finefit's cache, one plain file for a commit, a config and a split; its facts are written
last, so what has none is not there. Asks the hub for one thing, the commit that a revision means, and where the hub
says nothing or may not be asked, takes the commit that it said last.

Does not know: what is in the rows. Does not download: `worker/fetch.py` does, with `datasets`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from finefit.errors import BadInput, Problem
from finefit.nouns.digest import sha256_of
from finefit.nouns.hub_rows import FetchedRows, HubRows

from . import caches, hub

SPLITS = {"data": "train", "eval_data": "test"}
"""Where none is named: TRL's own (ScriptArguments, 1.16), and axolotl's."""
ANSWER_SECONDS = 20.0


def with_split(rows: HubRows, key: str) -> HubRows:
    return replace(rows, split=rows.split or SPLITS[key])


def folder_of(rows: HubRows) -> Path:
    assert rows.is_pinned, "a commit has a folder"
    return _home(rows.id) / str(rows.revision)


def stem_of(rows: HubRows) -> str:
    """Of the file's name, without the colons of slices."""
    split = str(rows.split).replace(":", "to").replace("%", "pc")
    return f"{rows.config}-{split}" if rows.config else split


def kept(rows: HubRows, key: str) -> FetchedRows | None:
    """The rows of a commit that were fetched before."""
    facts = _read(_facts(rows))
    path = None if facts is None else folder_of(rows) / str(facts["file"])
    if facts is None or path is None or not path.is_file():
        return None
    return FetchedRows(key, rows, str(path), facts["rows"], facts["sha256"])


def keep(rows: HubRows, asked: HubRows, key: str, file: str, count: int) -> FetchedRows:
    """Rows that a worker has written into their folder. `asked`: as the job named them."""
    path = folder_of(rows) / file
    found = FetchedRows(key, rows, str(path), count, sha256_of(path))
    facts = {"file": file, "rows": count, "sha256": found.sha256, "asked": asked.revision}
    caches.write(_facts(rows), json.dumps(facts, indent=1).encode())
    return found


def pinned(asked: HubRows, where: str) -> tuple[HubRows, str]:
    """The same rows at a commit, and why it may not be the newest. Raises `BadInput`."""
    if asked.is_pinned:
        return asked, ""
    why = _cut_off()
    if why:
        return _known(asked, where, why)
    try:
        commit = _asked(asked, where)
    except hub.NotReachable as error:
        return _known(asked, where, str(error))
    found = asked.at(commit)
    if (facts := _facts(found)).exists():
        os.utime(facts)  # it is what the revision means now
    return found, ""


def source_of(rows: HubRows, where: str) -> Path | None:
    """A folder to read a commit from; None: the hub itself. Raises `BadInput` where neither can be."""
    why = _cut_off()
    folder = _downloaded(rows) if why else None
    if why and folder is None:
        raise BadInput(_not_here(rows, where, why))
    return folder


def refuse_without_datasets(where: str) -> None:
    if find_spec("datasets") is None:
        why = "rows of the hub are read by it"
        raise BadInput(Problem("datasets is not installed", where, why, "pip install 'finefit[train]'"))


def _cut_off() -> str:
    """Why the hub cannot be asked, or nothing."""
    variable = hub.is_offline()
    if variable:
        return f"{variable} is set"
    try:
        hub.knock()
    except hub.NotReachable as error:
        return str(error)
    return ""


def _downloaded(rows: HubRows) -> Path | None:
    """The folder of the hub's cache where `hf download` has put a commit."""
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(rows.id, repo_type="dataset", revision=rows.revision or "main", local_files_only=True)
        )
    except Exception:  # its errors differ by version; there is none either way
        return None


def _known(asked: HubRows, where: str, why: str) -> tuple[HubRows, str]:
    """The commit that was used last, in finefit's cache or the hub's."""
    known = sorted(_before(asked), key=lambda path: (path.stem == stem_of(asked), path.stat().st_mtime))
    if known:
        found = asked.at(known[-1].parent.name)
        return found, f"{asked}: {why}: commit {found.revision}, which was fetched before, may not be the newest"
    folder = _downloaded(asked)
    if folder is None:
        raise BadInput(_not_here(asked, where, why))
    found = asked.at(folder.name)
    return found, f"{asked}: {why}: commit {found.revision} of the hub's cache may not be the newest"


def _before(asked: HubRows) -> Iterator[Path]:
    """Of this data set; files of other splits say the commit, too."""
    for path in _home(asked.id).glob("*/*.json"):
        facts = _read(path)
        if facts is not None and facts["asked"] == asked.revision:
            yield path


def _asked(rows: HubRows, where: str) -> str:
    """The commit, as the hub says it."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        info = HfApi().dataset_info(rows.id, revision=rows.revision, timeout=ANSWER_SECONDS)
    except GatedRepoError:
        raise BadInput(gated(rows.id, where)) from None
    except RevisionNotFoundError:
        raise BadInput(Problem(f"{rows.id} has no revision '{rows.revision}'", where)) from None
    except RepositoryNotFoundError:
        raise BadInput(_unknown(rows.id, where)) from None
    except Exception as error:  # its other errors, and those of its HTTP library, differ by version
        raise hub.NotReachable(f"the hub says {hub.first_line(error)}") from None
    return str(info.sha)


def gated(name: str, where: str) -> Problem:
    what = f"the data set {name} is gated: its owner lets in who has agreed to its conditions"
    return Problem(what, where, hint=f"agree on https://huggingface.co/datasets/{name}, then `hf auth login`")


def _unknown(name: str, where: str) -> Problem:
    why = "no file of this name is here, and the hub knows no such data set, or does not show it to this machine"
    return Problem(f"there is no '{name}'", where, why, "`hf auth login` where it is private; or the path of a file")


def _not_here(rows: HubRows, where: str, why: str) -> Problem:
    fetch = f"where there is a network: `finefit data {rows}`, or `hf download --repo-type dataset {rows.id}`"
    return Problem(f"no file '{rows}' is here, and no rows of such a data set", where, why, fetch)


def _home(name: str) -> Path:
    return caches.home() / "hub" / name


def _facts(rows: HubRows) -> Path:
    return folder_of(rows) / f"{stem_of(rows)}.json"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return facts if {"file", "rows", "sha256", "asked"} <= facts.keys() else None
