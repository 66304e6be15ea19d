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
    format: str = "messages"
    left_out: int = 0
    # bad rows that are not trained on, as `on_bad_row` says
    eval_left_out: int = 0
    packed_rows: int | None = None
    # sequences that the rows share; None: each is its own

    @property
    def sequences(self) -> int:
        """That an epoch has."""
        return self.rows if self.packed_rows is None else self.packed_rows
