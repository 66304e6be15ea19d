"""What a precomputed reference said of a run's pairs, kept in the run's folder: a resumed run is told the same.

Knows: whether the pairs are those that it was said of, by a hash of their tokens. Does not know: whether the model's
files have changed since.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from finefit import whole

from . import pairs

LogProbs = Sequence[tuple[float, float]]
"""Of each pair, of the chosen answer and of the rejected one."""


def read(path: Path, rows: Any) -> LogProbs | None:
    """None where nothing was said of these very pairs."""
    known = _kept(path).get(_digest(rows))
    return None if known is None else [(chosen, rejected) for chosen, rejected in known]


def keep(path: Path, rows: Any, told: LogProbs) -> None:
    """Complete or not at all."""
    whole.write(path, json.dumps(_kept(path) | {_digest(rows): [list(each) for each in told]}))


def _kept(path: Path) -> dict[str, Any]:
    """By the hash of the pairs."""
    known: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return known


def _digest(rows: Any) -> str:
    found = hashlib.sha256()
    for column in (pairs.PROMPT, pairs.CHOSEN, pairs.REJECTED):
        for ids in rows[column]:
            found.update(json.dumps(ids).encode())
    return found.hexdigest()
