"""A decision: how a job will be executed, and the memory it will take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .data import DataFacts
from .engine import Engine
from .hub_rows import FetchedRows
from .job import Job
from .knobs import Knobs
from .ledger import Ledger
from .machine import Machine
from .method import Method
from .model import Model
from .pace import Pace
from .planned import Chosen
from .workload import Workload


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
    pace: Pace | None = None
    # of steps whose rows are as long as the longest; None on a processor, on a card of unknown rates, and in plans from
    # before it was predicted
    work: Workload | None = None
    # the whole run at this pace, with each row's own length
    chosen: Chosen | None = None
    # None: the job, or what is usual, left nothing to choose
    engine: Engine | None = None
    # None: one process; the ledger is that of the rank that takes most
    held: Mapping[str, int] = field(default_factory=dict)
    # by each rank between two steps, as `Estimate` has it
    fetched: tuple[FetchedRows, ...] = ()
    # from the hub; nothing where the job names files
