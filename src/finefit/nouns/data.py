"""What the rows of a job are."""

from __future__ import annotations

from dataclasses import dataclass

from .images import Showing


@dataclass(frozen=True)
class DataFacts:
    """What the tokenizer made of the rows."""

    rows: int
    eval_rows: int
    shortest_tokens: int
    median_tokens: int
    longest_tokens: int
    total_tokens: int
    trained_tokens: int
    longest_line: int
    # of the data file: where rows show nothing, the row that sets the peak
    shown: Showing | None = None
    # None: rows are text
