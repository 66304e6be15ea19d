"""The rows of a data file, one after another, each with its place; a kind of file is a file here.

Knows: JSONL, JSON, CSV, Parquet. Does not know: what rows mean (`finefit.nouns.formats`).
"""

from __future__ import annotations

from .placed import Placed
from .rows import place, rows_in

__all__ = ["Placed", "place", "rows_in"]
