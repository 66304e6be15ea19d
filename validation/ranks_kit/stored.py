"""What was measured, by the runs' names: ranks.json, one line a run.

A run has `stack`, and `failed` with the error's last line, or `ranks`, what each found: `phases` and `held` in the
words of phases.py, and beside them `buckets`, as DeepSpeed itself read them.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from finefit.nouns.engine import Buckets

from .composed import composed
from .grid import all_runs
from .phases import Found
from .runs import Run

RESULTS = Path(__file__).parent.parent / "ranks.json"
COMPOSED = Path(__file__).parent / "composed.json"
"""What was composed of the same runs, in the same form."""


@dataclass(frozen=True)
class Measured:
    run: Run
    buckets: Buckets | None
    ranks: tuple[Found, ...]


def read(path: Path = RESULTS) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}
    return found


def write(results: dict[str, dict[str, Any]], path: Path = RESULTS) -> None:
    """In the order of the runs; whole or not at all."""
    ordered = [run.id for run in all_runs() if run.id in results]
    lines = [f"{json.dumps(name)}: {json.dumps(results[name], separators=(',', ':'))}" for name in ordered]
    aside = path.with_suffix(".aside")
    aside.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    aside.replace(path)


def stored() -> list[Measured]:
    """All that ran."""
    results = read()
    found = [(run, results[run.id]) for run in all_runs() if "ranks" in results.get(run.id, {})]
    return [measured_of(run, result) for run, result in found]


def measured_of(run: Run, result: dict[str, Any]) -> Measured:
    buckets = Buckets(**result["buckets"]) if result["buckets"] else None
    return Measured(run, buckets, _ranks(result))


def refused() -> dict[str, str]:
    """Runs that libraries refused, and their words."""
    return {name: result["failed"] for name, result in read().items() if "failed" in result}


def compose_again() -> None:
    """All that ran, with the code as it is."""
    write({run.run.id: {"ranks": [asdict(rank) for rank in composed_of(run)]} for run in stored()}, COMPOSED)


def composed_of(run: Measured) -> list[Found]:
    return [composed(run.run, run.buckets, rank) for rank in range(run.run.ranks)]


def composed_before() -> dict[str, tuple[Found, ...]]:
    """By the runs' names."""
    return {name: _ranks(result) for name, result in read(COMPOSED).items()}


def _ranks(result: dict[str, Any]) -> tuple[Found, ...]:
    return tuple(
        Found({key: (begin, peak, end) for key, (begin, peak, end) in rank["phases"].items()}, rank["held"])
        for rank in result["ranks"]
    )
