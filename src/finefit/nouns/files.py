"""The files of a plan, as text, before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Files:
    texts: Mapping[str, str]
    # by name
    launch: str
    # the line that starts the training, in their folder; empty where none of them does
    notes: tuple[str, ...] = ()
