"""Rows that cannot be trained on, each with its place and its reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

OnBadRow = Literal["stop", "skip"]


@dataclass(frozen=True)
class BadRow:
    number: int
    # as `finefit.tables` counts rows
    where: str
    reason: str
