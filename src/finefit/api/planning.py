"""`plan`: the fastest recipe that fits."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from finefit.catalog.prices import cheapest
from finefit.errors import BadInput, Problem
from finefit.estimate.reserved import beside_tensors
from finefit.nouns.estimate import Estimate
from finefit.nouns.job import Job, MethodName
from finefit.nouns.method import Method
from finefit.nouns.model import Model
from finefit.nouns.planned import Candidate, Planned
from finefit.nouns.workload import Lengths, Workload
from finefit.rehearsal.few import Rehearsals
from finefit.rehearsal.own_rows import checked_files
from finefit.search.candidates import Asked, candidates
from finefit.search.dials import engines
from finefit.search.fastest import Search
from finefit.search.packed import beside_packed
from finefit.search.plan import Group, search_plan
from finefit.search.preferences import task_of
from finefit.search.workload import workload
from finefit.world import prices as price_lists
from finefit.world.lengths import file_lengths
from finefit.world.models import find_model, with_tokenizer

from .asked import images_of, machine_or_reference, method_of
from .estimating import estimate

USUAL_LENGTH = 2048
"""Of rows, where neither a length nor a file is given."""


def plan(job: Job, *, methods: Sequence[MethodName] = (), progress: Callable[[str], None] | None = None) -> Planned:
    """`methods`: tried in this order; the job's own where none is named. Raises `BadInput`."""
    started, say = time.perf_counter(), progress or (lambda _: None)
    model = find_model(job.model, job.trust_remote_code)
    machine, notes = machine_or_reference(job.gpu)
    if machine.gpu is None:
        raise BadInput(Problem("a plan is for GPUs", where="gpu", why="the processor is one", hint="gpu: RTX4090"))
    lengths, told = _lengths(job, model)
    notes = (*notes, *told)
    job = replace(job, max_length=job.max_length or (USUAL_LENGTH if lengths is None else lengths.longest))
    rehearsals = Rehearsals(model, machine, say, job.trust_remote_code, images_of(job), task_of(job))
    levels: list[tuple[int, Group]] = []
    for name in methods or (job.method,):
        wished = replace(job, method=name)
        method, agreed = beside_packed(method_of(wished), model)
        notes = (*notes, *agreed)
        groups = enumerate(engines(wished, machine))
        levels += [(level, Group(method, where, tuple(jobs))) for level, (where, jobs) in groups]
    # of all methods what is on the GPUs, before anything waits for the host
    tried = [group for _, group in sorted(levels, key=lambda pair: pair[0])]

    def found(wished: Job, method: Method) -> list[Candidate]:
        return list(candidates(Asked(wished, method, model, machine, lengths), rehearsals, limit))

    known: dict[Candidate, Estimate] = {}

    def check(candidate: Candidate) -> int:
        known[candidate] = _estimate(candidate, job, say)
        device = known[candidate].ledger.device
        assert device is not None
        return device.high

    limit, beside = machine.gpu.vram_bytes - machine.gpu.unknown_bytes, beside_tensors(machine.gpu, None).high
    search = Search(limit, beside, check)
    answer = search_plan(tried, found, search)
    choice = None if answer.best is None else known[answer.best]
    return Planned(
        machine=machine,
        choice=choice,
        nearest=_estimate(answer.nearest, job, say) if answer.best is None and answer.nearest else None,
        alternatives=answer.alternatives,
        passed_over=tuple(answer.passed_over),
        weighed=answer.weighed,
        checked=len(search.known),
        seconds=time.perf_counter() - started,
        notes=notes,
        workload=None if choice is None or lengths is None else _workload(job, choice, lengths),
    )


def _lengths(job: Job, model: Model) -> tuple[Lengths | None, tuple[str, ...]]:
    """Of the job's own rows; None where it names no file."""
    if not job.data:
        return None, ()
    lines = checked_files(job).train.lines
    model, has_tokenizer = with_tokenizer(model)
    tokens, how = file_lengths(job.data, model.folder if has_tokenizer else None)
    longest = max(range(len(tokens)), key=tokens.__getitem__)
    if job.max_length is not None and tokens[longest] > job.max_length:
        what = f"the row has {tokens[longest]:,} tokens, and max_length is {job.max_length:,}"
        raise BadInput(Problem(what, where=f"{job.data}:{lines[longest]}", hint="no row is cut: a larger max_length"))
    return Lengths(tuple(tokens), lines[longest], not has_tokenizer), (how,)


def _workload(job: Job, choice: Estimate, lengths: Lengths) -> Workload | None:
    machine = choice.machine
    if choice.pace is None or machine.gpu is None:
        return None
    offer = cheapest(machine.gpu.name, machine.count, prices=price_lists.prices())
    return workload(job, choice.knobs, choice.pace, machine.count, lengths, offer)


def _estimate(candidate: Candidate, job: Job, say: Callable[[str], None]) -> Estimate:
    return estimate(
        job.model,
        method=candidate.method,
        knobs=candidate.knobs,
        gpu=job.gpu,
        trust_remote_code=job.trust_remote_code,
        images=images_of(job),
        task=task_of(job),
        progress=say,
        probes=False,
    )
