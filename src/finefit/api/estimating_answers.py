"""`estimate`: the memory of prompts that are read and answered."""

from __future__ import annotations

import time
from collections.abc import Callable

from finefit.estimate.generation import ledger_of_answer
from finefit.estimate.left_out import left_out
from finefit.nouns.estimate import Estimate
from finefit.nouns.knobs import Knobs
from finefit.nouns.method import Method
from finefit.nouns.task import Generate
from finefit.rehearsal.generation import Writing, find
from finefit.search.choice import suited
from finefit.search.generation import parts_to_write
from finefit.world.models import find_model

from .asked import machine_or_reference

ALIKE = (
    "all prompts are as long as the longest, and nothing ends an answer early; the likeliest token is taken: sampling "
    "sorts the logits, and padded prompts keep a mask, which are not modelled"
)


def estimate_answer(
    model: str,
    *,
    method: Method,
    task: Generate,
    knobs: Knobs,
    gpu: str = "auto",
    trust_remote_code: bool = False,
    progress: Callable[[str], None] | None = None,
    rehearses: bool = True,
) -> Estimate:
    """The memory of prompts that are read and answered, with the method's adapters or without. Raises `BadInput`, and
    `NotKnown` as `estimate` does."""
    started = time.perf_counter()
    found = find_model(model, trust_remote_code)
    machine, notes = machine_or_reference(gpu)
    method, task, agreed = parts_to_write(method, task, found)
    knobs, changed = suited(knobs, found)
    writing = Writing(found, method, knobs, machine, task, trust_remote_code)
    told = find(writing, progress or (lambda _: None), rehearses)
    return Estimate(
        model=found,
        method=method,
        knobs=knobs,
        machine=machine,
        ledger=ledger_of_answer(told.recording, found, knobs, machine, task),
        task=task,
        source=told.source,
        stack=told.stack,
        notes=(*notes, *agreed, *changed, *left_out(found, None, knobs), ALIKE, *told.notes),
        seconds=time.perf_counter() - started,
    )
