"""A row where it stands, or why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Placed:
    number: int
    # of its line, or of the row where a kind of file has no lines
    row: Mapping[str, Any]
    wrong: str = ""
    # why it cannot be read
