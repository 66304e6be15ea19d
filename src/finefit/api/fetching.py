"""Rows of the hub as files of this machine, before anything else is asked about a job."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from finefit.errors import BadInput, Problem
from finefit.nouns.digest import sha256_of
from finefit.nouns.hub_rows import FetchedRows, HubRows, hub_rows
from finefit.nouns.job import Job
from finefit.run import worker
from finefit.world import hub_data

Say = Callable[[str], None]


@dataclass(frozen=True)
class RowsHere:
    """A job's rows on this machine."""

    job: Job
    # its rows are files
    fetched: tuple[FetchedRows, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def pinned(self) -> Job:
        """The job as its user would write it, with the commit of what came from the hub: run again, it reads the same
        rows."""
        named: dict[str, Any] = {one.key: str(one.rows) for one in self.fetched}
        return replace(self.job, **named)


def rows_here(job: Job, say: Say) -> RowsHere:
    """Downloads what the job names of the hub, unless it was before. Raises `BadInput` with all problems."""
    fetched: list[FetchedRows] = []
    notes: list[str] = []
    problems: list[Problem] = []
    for key in hub_data.SPLITS:
        named = _of_hub(getattr(job, key))
        if named is None:
            continue
        try:
            one, why = _fetched(named, key, say)
        except BadInput as refused:
            problems += refused.problems
            continue
        fetched.append(one)
        notes += [*([why] if why else []), f"{key}: {one.rows}: {one.count:,} rows, kept in {one.path}"]
    if problems:
        raise BadInput(*problems)
    paths: dict[str, Any] = {one.key: one.path for one in fetched}
    return RowsHere(replace(job, **paths), tuple(fetched), tuple(notes))


def file_here(path: str, say: Say) -> tuple[str, tuple[str, ...]]:
    """A path, or a file with rows of the hub; and what is said of it."""
    here = rows_here(Job(model="", data=path), say)
    return here.job.data, here.notes


def restored(fetched: Sequence[FetchedRows], say: Say) -> None:
    """What a run that goes on reads, as it read it before. Raises `BadInput`."""
    for one in fetched:
        if not Path(one.path).is_file():
            _downloaded(one.rows, one.rows, one.key, say)
        if not Path(one.path).is_file():
            why = f"{one.rows} was kept there, and finefit's cache is another one by now"
            raise BadInput(Problem("no such file", one.path, why, "FINEFIT_CACHE, as it was for this run"))
        if sha256_of(Path(one.path)) != one.sha256:
            why = f"they are not those of {one.rows} that this run began with"
            raise BadInput(Problem("the rows have changed", one.path, why, "move that file away: it is fetched again"))


def _of_hub(named: str | None) -> HubRows | None:
    """A path that exists wins."""
    return None if not named or Path(named).exists() else hub_rows(named)


def _fetched(named: HubRows, key: str, say: Say) -> tuple[FetchedRows, str]:
    asked = hub_data.with_split(named, key)
    rows, why = hub_data.pinned(asked, f"{key}: {asked}")
    found = hub_data.kept(rows, key)
    return (_downloaded(rows, asked, key, say) if found is None else found), why


def _downloaded(rows: HubRows, asked: HubRows, key: str, say: Say) -> FetchedRows:
    where = f"{key}: {asked}"
    hub_data.refuse_without_datasets(where)
    folder = hub_data.source_of(rows, where)
    orders = {
        "device": "cpu",
        "online": True,
        "id": rows.id,
        "commit": rows.revision,
        "from": str(folder) if folder else None,
        "config": rows.config,
        "split": rows.split,
        "into": str(hub_data.folder_of(rows)),
        "stem": hub_data.stem_of(rows),
    }
    try:
        told = worker.ask("fetch", orders, lambda event: say(str(event.get("text", ""))))
    except BadInput as refused:
        raise BadInput(*(replace(problem, where=where) for problem in refused.problems)) from None
    return hub_data.keep(rows, asked, key, told["file"], told["rows"])
