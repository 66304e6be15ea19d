"""A decision: how a job will be executed, and the memory it will take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .images import Showing
from .job import Job
from .knobs import Knobs
from .ledger import Ledger
from .machine import Machine
from .method import Method
from .model import Model


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


@dataclass(frozen=True)
class Plan:
    job: Job
    model: Model
    method: Method
    knobs: Knobs
    machine: Machine
    ledger: Ledger
    data: DataFacts | None
    steps: int
    # optimizer steps of the whole run
    stack: Mapping[str, str]
    # versions it was computed for
    notes: tuple[str, ...]
    orders: Mapping[str, Any]
    # what the worker is told, in the words of transformers, TRL and PEFT
