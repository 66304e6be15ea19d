"""The search for a job's recipe: `plan` shows what it found, `train` runs it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from finefit.catalog.measured import rates_on
from finefit.catalog.prices import cheapest
from finefit.errors import BadInput, Problem
from finefit.estimate.reserved import beside_tensors
from finefit.lower.images import tokens_of
from finefit.nouns.advice import Advice, Effect
from finefit.nouns.estimate import Estimate
from finefit.nouns.job import Job, MethodName
from finefit.nouns.knobs import Knobs
from finefit.nouns.machine import Machine
from finefit.nouns.method import Method, name_of
from finefit.nouns.model import Model
from finefit.nouns.pace import Pace
from finefit.nouns.planned import Candidate, Planned
from finefit.nouns.workload import Lengths, Packing, Workload
from finefit.rehearsal.few import Rehearsals
from finefit.search.advice import Basis, advise, pinned
from finefit.search.choice import choose, usual_length
from finefit.search.dials import engines
from finefit.search.fastest import Search, order
from finefit.search.packed import beside_packed
from finefit.search.packing import mixes
from finefit.search.plan import Answer, Group, search_plan
from finefit.search.preferences import refuse_unproven, task_of
from finefit.search.workload import packing_of, workload
from finefit.world import prices as price_lists
from finefit.world.gpus import machine_named
from finefit.world.lengths import file_lengths
from finefit.world.models import with_tokenizer
from finefit.world.rows import Rows

from .asked import images_of, method_of
from .estimating import estimate
from .weighing import Recipes

Found = Callable[[Job, Method], list[Candidate]]


@dataclass(frozen=True)
class Sought:
    """What a recipe is sought for."""

    job: Job
    # its `max_length` is the length that is planned for
    model: Model
    machine: Machine
    lengths: Lengths | None
    # of the job's own rows
    notes: tuple[str, ...] = ()
    room: int = 0
    # tokens of a sequence, where rows share one
    shows: bool = False
    # its rows show images


@dataclass
class Searched:
    """A search that is over, and what it can still tell."""

    about: Sought
    answer: Answer
    search: Search
    found: Found
    say: Callable[[str], None]
    checked: dict[Candidate, Estimate]
    notes: tuple[str, ...]
    started: float

    @property
    def choice(self) -> Estimate | None:
        return None if self.answer.best is None else self.checked[self.answer.best]

    def planned(self) -> Planned:
        choice, nearest, about = self.choice, self.answer.nearest, self.answer.best or self.answer.nearest
        return Planned(
            machine=self.about.machine,
            choice=choice,
            nearest=_estimate(nearest, self.about.job, self.say) if choice is None and nearest else None,
            alternatives=self.answer.alternatives,
            passed_over=tuple(self.answer.passed_over),
            weighed=self.answer.weighed,
            checked=len(self.search.known),
            seconds=time.perf_counter() - self.started,
            notes=(*self.about.notes, *self.notes),
            workload=None if choice is None else self._workload(choice),
            advice=() if about is None else self.advice(about),
            packing=None if self.answer.best is None else self._packing(self.answer.best),
        )

    def _packing(self, best: Candidate) -> Packing | None:
        """What it does, or would do: the other kind's fastest recipe as it is weighed, where tapes know one."""
        job, lengths, is_packed = self.about.job, self.about.lengths, best.knobs.packing
        if lengths is None or job.task != "sft" or job.image_size is not None:
            return None
        job = replace(job, max_length=self.about.room)
        kind = replace(job, packing=not is_packed) if is_packed or not mixes(self.about.model) else None
        others = [] if kind is None else self.found(_on_engine(kind, best.knobs), best.method)
        other = min((one for one in others if self.search.seems_to_fit(one)), key=order, default=None)
        apart, together = (other, best) if is_packed else (best, other)
        ranks = 1 if best.engine is None else best.engine.ranks
        return packing_of(job, _timed(apart), _timed(together), ranks, lengths, is_chosen=is_packed)

    def _workload(self, choice: Estimate) -> Workload | None:
        machine, lengths = choice.machine, self.about.lengths
        if choice.pace is None or machine.gpu is None or lengths is None:
            return None
        offer = cheapest(machine.gpu.name, machine.count, prices=price_lists.prices())
        return workload(self.about.job, choice.knobs, choice.pace, machine.count, lengths, offer)

    def advice(self, about: Candidate) -> tuple[Advice, ...]:
        """Weighed, since beside hundreds of recipes there is no time for the allocator: what is reserved over what is
        allocated is taken as the recipe's own that the advice is about."""
        search, found = self.search, self.found
        before = search.weighed(about)
        ratio = (before.high_bytes - search.beside_bytes) / about.peak_bytes

        def ask(wished: Job) -> Effect | None:
            one = _weighed(wished, self.about.model, found)
            return None if one is None else Effect(_high(one), one.tokens_per_second, is_checked=False)

        def _high(one: Candidate) -> int:
            return int(one.peak_bytes * ratio) + search.beside_bytes

        of = Basis(pinned(self.about.job, name_of(about.method), about.knobs), self.about.model, self.about.machine)
        now = Effect(before.high_bytes, about.tokens_per_second, before.is_checked)
        return advise(of, now, ask, search.limit_bytes)


def search_for(
    about: Sought,
    methods: Sequence[MethodName],
    say: Callable[[str], None],
    *,
    has_engines: bool = True,
    builds: bool = True,
) -> Searched:
    """`methods`: tried in this order. Without `has_engines`, on one GPU as it is. Without `builds`, recipes that no
    tape knows are left out. Raises `BadInput`."""
    started, job, model, machine = time.perf_counter(), about.job, about.model, about.machine
    gpu = machine.gpu
    if gpu is None:
        raise BadInput(Problem("a plan is for GPUs", where="gpu", why="the processor is one", hint="gpu: RTX4090"))
    if rates_on(gpu) is None:
        why = f"{gpu.name} is in no catalogue, and was not measured"
        raise BadInput(Problem("how fast this GPU is, is not known", where="gpu", why=why, hint="finefit calibrate"))
    rehearsals = Rehearsals(model, machine, say, job.trust_remote_code, images_of(job), task_of(job), builds)
    limit, beside = gpu.sure_bytes, beside_tensors(gpu, None).high
    tried, agreed = _groups(about, methods, has_engines)
    recipes = Recipes(model, machine, about.lengths, rehearsals, limit, builds)
    checked = _Checked(job, say)
    search = Search(limit, beside, checked.high_bytes)
    answer = search_plan(tried, recipes.known, recipes.others, search)
    notes = (*agreed, *recipes.left())
    return Searched(about, answer, search, recipes.told, say, checked.known, notes, started)


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


def _groups(about: Sought, methods: Sequence[MethodName], has_engines: bool) -> tuple[list[Group], tuple[str, ...]]:
    """Of all methods what is on the GPUs, before anything waits for the host; and notes."""
    levels: list[tuple[int, Group]] = []
    notes: tuple[str, ...] = ()
    for name in methods:
        wished = replace(about.job, method=name)
        method, agreed = beside_packed(method_of(wished), about.model)
        notes = (*notes, *agreed)
        groups = list(engines(wished, about.machine, shows=about.shows))
        for level, (where, jobs) in enumerate(groups if has_engines else groups[:1]):
            levels.append((level, Group(method, where, tuple(jobs))))
    return [group for _, group in sorted(levels, key=lambda pair: pair[0])], notes


def sought(job: Job, model: Model, machine: Machine, rows: Rows | None, notes: tuple[str, ...] = ()) -> Sought:
    """`rows`: of the job's own file, checked. The longest is planned for, as far as the job allows it: lengths may
    be guessed."""
    if rows is None:
        return Sought(replace(job, max_length=job.max_length or usual_length(model)), model, machine, None, notes)
    model, has_tokenizer = with_tokenizer(model)
    tokens, how = file_lengths(job.data, rows, model.folder if has_tokenizer else None)
    tokens = [each + tokens_of(model, sizes) for each, sizes in zip(tokens, rows.sizes, strict=True)]
    longest = max(range(len(tokens)), key=tokens.__getitem__)
    lengths = Lengths(tuple(tokens), rows.lines[longest], not has_tokenizer)
    planned_for = min(lengths.longest, job.max_length or lengths.longest)
    if job.packing:  # as long as sequences may be; what is not packed is as long as its longest row
        planned_for = job.max_length or lengths.longest
    room = job.max_length or lengths.longest
    shows = any(rows.shown)
    return Sought(replace(job, max_length=planned_for), model, machine, lengths, (*notes, how), room, shows)


def _on_engine(job: Job, knobs: Knobs) -> Job:
    return replace(job, zero_stage=knobs.zero_stage, offload=knobs.offload, fsdp=knobs.fsdp)


def _timed(one: Candidate | None) -> tuple[Knobs, Pace] | None:
    return None if one is None else (one.knobs, one.pace)


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
