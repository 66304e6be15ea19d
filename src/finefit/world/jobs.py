"""From job.yaml and options to a Job, or all that is wrong with them at once.

entries (what stands where) -> spellings (today's keys) -> fields (each value) -> rules (values together)
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from finefit.errors import BadInput, Problem
from finefit.nouns.job import Job

from .entries import Entry, from_file, from_options
from .fields import KEYS, REQUIRED, checked
from .gpus import machine_named
from .rules import GLOBAL, MICRO, STEPS, broken_rules
from .spellings import Spelled, spelled


class ReadJob(NamedTuple):
    job: Job
    notes: tuple[str, ...]
    # old spellings, and what they were read as


def read_job(
    path: Path | str | None,
    overrides: Mapping[str, str] | None = None,
    required: Sequence[str] = REQUIRED,
    *,
    is_foreign: bool = False,
) -> ReadJob:
    """The job of a file; `overrides` are options by name, and win; where there is no file, they are all of it.
    `is_foreign`: the file is another tool's. Raises `BadInput` with every problem."""
    options = spelled(from_options(overrides or {}), KEYS)
    if path is None:
        return _job(options, [key for key in required if key not in options.entries], "", {})
    path = Path(path)
    file = _foreign(path, options.entries) if is_foreign else spelled(from_file(path), KEYS)
    both = Spelled(file.entries | options.entries, file.notes + options.notes, file.problems + options.problems)
    return _job(both, [key for key in required if key not in both.entries], str(path), {})


def _foreign(path: Path, options: Mapping[str, Entry]) -> Spelled:
    """Without what options say anew."""
    from .foreign import translated

    gpu = options.get("gpu")
    found = translated(path, _gpus(str(gpu.value) if gpu else "auto"), options.keys())
    today = spelled(found.entries, KEYS)
    return Spelled(today.entries, found.notes + today.notes, found.problems + today.problems)


def job_of_options(options: Mapping[str, str], keys: Collection[str], *, is_pinned: bool = True) -> ReadJob:
    """A job without model and data, from options that may be `keys` and their old spellings alone.

    `is_pinned`: its batch is one sequence, as far as the options leave that open.
    """
    given = spelled(from_options(options), keys)
    if not is_pinned:
        return _job(given, [], "", {})
    unsaid = [key for key in (MICRO, STEPS) if key not in given.entries]
    if GLOBAL in given.entries:
        unsaid = unsaid[:1] if len(unsaid) == 2 else []
    return _job(given, [], "", dict.fromkeys(unsaid, 1))


def _job(given: Spelled, missing: Sequence[str], source: str, unsaid: Mapping[str, Any]) -> ReadJob:
    """`unsaid`: values of keys that are not given."""
    problems = [_missing(key, source) for key in missing]
    problems += given.problems
    values = dict(unsaid)
    wrong = set(missing)
    for key, entry in given.entries.items():
        value, problem = checked(entry)
        if problem is None:
            values[key] = value
        else:
            wrong.add(key)
            problems.append(problem)
    job = Job(**{"model": "", "data": "", **_multiplied(values, given.entries)})
    problems += broken_rules(job, given.entries, frozenset(wrong))
    if problems:
        raise BadInput(*problems)
    return ReadJob(job, given.notes)


def _missing(key: str, source: str) -> Problem:
    """`source`: a file; empty where options are all."""
    if source:
        return Problem("is missing", where=f"{source}: {key}", hint=f"{key}: …")
    option = f"--{key.replace('_', '-')}"
    return Problem("is missing", where=option, hint=f"{option} …, or a job file")


def _multiplied(values: dict[str, Any], entries: Mapping[str, Entry]) -> dict[str, Any]:
    """Where both of its factors are known and it is not given, the global batch is their product."""
    micro, steps = values.get(MICRO), values.get(STEPS)
    if GLOBAL in entries or micro is None or steps is None:
        return values
    return values | {GLOBAL: micro * steps * _gpus(values.get("gpu"))}


def _gpus(name: str | None) -> int:
    """A wrong name is told elsewhere."""
    try:
        return machine_named(name).count if name else 1
    except BadInput:
        return 1
