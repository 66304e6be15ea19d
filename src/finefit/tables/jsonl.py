"""JSON lines: an object on each line, blank lines are none. Never the whole file in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .objects import object_in
from .placed import Placed


def read(path: Path) -> Iterator[Placed]:
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            if raw.strip():
                row, wrong = object_in(raw)
                yield Placed(number, row, wrong)
