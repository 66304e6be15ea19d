"""`plan`: the fastest recipe that fits."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from finefit.catalog.measured import rates_on
from finefit.catalog.prices import cheapest
from finefit.errors import BadInput, Problem
from finefit.estimate.reserved import beside_tensors
from finefit.nouns.advice import Advice, Effect
from finefit.nouns.estimate import Estimate
from finefit.nouns.job import Job, MethodName
from finefit.nouns.machine import Machine
from finefit.nouns.method import Method, name_of
from finefit.nouns.model import Model
from finefit.nouns.planned import Candidate, Planned
from finefit.nouns.workload import Lengths, Workload
from finefit.rehearsal.few import Rehearsals
from finefit.rehearsal.own_rows import checked_files
from finefit.search.advice import Basis, advise, pinned
from finefit.search.candidates import Asked, candidates
from finefit.search.choice import choose
from finefit.search.dials import engines
from finefit.search.fastest import Search
from finefit.search.packed import beside_packed
from finefit.search.plan import Group, search_plan
from finefit.search.preferences import refuse_unproven, task_of
from finefit.search.workload import workload
from finefit.world import prices as price_lists
from finefit.world.gpus import machine_named
from finefit.world.lengths import file_lengths
from finefit.world.models import find_model, with_tokenizer

from .asked import images_of, machine_or_reference, method_of
from .estimating import estimate

USUAL_LENGTH = 2048
"""Of rows, where neither a length nor a file is given."""


def plan(
    job: Job,
    *,
    methods: Sequence[MethodName] = (),
    progress: Callable[[str], None] | None = None,
    builds: bool = True,
) -> Planned:
    """`methods`: tried in this order; the job's own where none is named. Without `builds`, recipes that no tape knows
    are left out. Raises `BadInput`."""
    started, say = time.perf_counter(), progress or (lambda _: None)
    model = find_model(job.model, job.trust_remote_code)
    machine, notes = machine_or_reference(job.gpu)
    if machine.gpu is None:
        raise BadInput(Problem("a plan is for GPUs", where="gpu", why="the processor is one", hint="gpu: RTX4090"))
    if rates_on(machine.gpu) is None:
        why = f"{machine.gpu.name} is in no catalogue, and was not measured"
        raise BadInput(Problem("how fast this GPU is, is not known", where="gpu", why=why, hint="finefit calibrate"))
    lengths, told = _lengths(job, model)
    notes = (*notes, *told)
    job = replace(job, max_length=job.max_length or (USUAL_LENGTH if lengths is None else lengths.longest))
    rehearsals = Rehearsals(model, machine, say, job.trust_remote_code, images_of(job), task_of(job), builds)
    tried, agreed = _groups(job, methods or (job.method,), model, machine)
    notes = (*notes, *agreed)

    def found(wished: Job, method: Method) -> list[Candidate]:
        return list(candidates(Asked(wished, method, model, machine, lengths), rehearsals, limit))

    checked = _Checked(job, say)
    limit, beside = machine.gpu.sure_bytes, beside_tensors(machine.gpu, None).high
    search = Search(limit, beside, checked.high_bytes)
    answer = search_plan(tried, found, search)
    choice = None if answer.best is None else checked.known[answer.best]
    rehearsals.rehearses = False
    about = answer.best or answer.nearest
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
        advice=() if about is None else _advice(about, Basis(job, model, machine), search, found),
    )


@dataclass
class _Checked:
    """Recipes that were asked for with the allocator."""

    job: Job
    say: Callable[[str], None]
    known: dict[Candidate, Estimate] = field(default_factory=dict)

    def high_bytes(self, candidate: Candidate) -> int:
        """The most that the device may show."""
        self.known[candidate] = _estimate(candidate, self.job, self.say)
        device = self.known[candidate].ledger.device
        assert device is not None
        return device.high


def _groups(
    job: Job, methods: Sequence[MethodName], model: Model, machine: Machine
) -> tuple[list[Group], tuple[str, ...]]:
    """Of all methods what is on the GPUs, before anything waits for the host; and notes."""
    levels: list[tuple[int, Group]] = []
    notes: tuple[str, ...] = ()
    for name in methods:
        wished = replace(job, method=name)
        method, agreed = beside_packed(method_of(wished), model)
        notes = (*notes, *agreed)
        groups = enumerate(engines(wished, machine))
        levels += [(level, Group(method, where, tuple(jobs))) for level, (where, jobs) in groups]
    return [group for _, group in sorted(levels, key=lambda pair: pair[0])], notes


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


Found = Callable[[Job, Method], list[Candidate]]


def _advice(about: Candidate, basis: Basis, search: Search, found: Found) -> tuple[Advice, ...]:
    """Weighed, since beside hundreds of recipes there is no time for the allocator: what is reserved over what is
    allocated is taken as the recipe's own that the advice is about."""
    before = search.weighed(about)
    ratio = (before.high_bytes - search.beside_bytes) / about.peak_bytes

    def ask(wished: Job) -> Effect | None:
        one = _weighed(wished, basis.model, found)
        return None if one is None else Effect(_high(one), one.pace.tokens_per_second, is_checked=False)

    def _high(one: Candidate) -> int:
        return int(one.peak_bytes * ratio) + search.beside_bytes

    of = replace(basis, job=pinned(basis.job, name_of(about.method), about.knobs))
    now = Effect(before.high_bytes, about.pace.tokens_per_second, before.is_checked)
    return advise(of, now, ask, search.limit_bytes)


def _weighed(wished: Job, model: Model, found: Found) -> Candidate | None:
    """None where no tape knows it, or the model is not trained so."""
    try:
        method, _ = beside_packed(method_of(wished), model)
        refuse_unproven(task_of(wished), method, choose(wished, machine_named(wished.gpu)), model)
        alike = found(wished, method)
    except BadInput:
        return None
    return alike[0] if alike else None


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
