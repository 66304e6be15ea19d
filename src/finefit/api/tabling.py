"""`matrix`: every GPU, number of them and method for one model."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from finefit.catalog.gpus import rows as catalogued
from finefit.catalog.kernels import cublas_workspace_bytes
from finefit.catalog.prices import cheapest
from finefit.errors import BadInput
from finefit.nouns.job import Job, MethodName
from finefit.nouns.machine import Gpu, Machine
from finefit.nouns.matrix import Matrix, Row, Wanted
from finefit.nouns.model import Model
from finefit.nouns.offer import Price
from finefit.rehearsal.few import Rehearsals
from finefit.search.candidates import Asked
from finefit.search.choice import usual_length
from finefit.search.drafts import Drafts
from finefit.search.matrix import Card, Cell, Levels, cell, levels_of
from finefit.search.packed import beside_packed
from finefit.search.preferences import task_of
from finefit.search.tiers import legend, with_tiers
from finefit.world import calibrations
from finefit.world.gpus import known_here
from finefit.world.models import find_model
from finefit.world.prices import prices

from .asked import images_of, method_of

COUNTS = (1, 2, 4, 8)
METHODS: tuple[MethodName, ...] = ("full", "lora", "qlora4")
ROWS = 10_000
"""To train on, where nothing is said."""
Kind = tuple[bool, bool]
"""Of cards with the same tapes: fused attention as from compute capability 8.0 on, and bfloat16."""
UNKNOWN = "not known without rehearsing: --rehearse"


def matrix(
    job: Job,
    *,
    gpus: Sequence[Gpu] = (),
    counts: Sequence[int] = COUNTS,
    methods: Sequence[MethodName] = METHODS,
    rows: int | None = None,
    epochs: float = 1.0,
    tokens: int | None = None,
    rehearses: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Matrix:
    """`gpus`: all of the catalogue where none is named; `tokens`: in place of rows and epochs. Raises `BadInput`."""
    started = time.perf_counter()
    model = find_model(job.model, job.trust_remote_code)
    job = replace(job, max_length=job.max_length or usual_length(model))
    wanted = _wanted(job, rows, epochs, tokens)
    cards = [known_here(gpu) for gpu in gpus or [row.gpu for row in catalogued() if row.gpu is not None]]
    several = [count for count in counts if count > 1]
    ranks = (min(several), max(several)) if len(set(several)) > 2 else None
    table = _Table(job, model, rehearses, progress or (lambda _: None), ranks)
    known = prices()
    found = [
        _row(card, count, name, table.cell(card, count, name), wanted, known)
        for card in cards
        for count in counts
        for name in methods
    ]
    return Matrix(
        model=model.id,
        wanted=wanted,
        global_batch_size=job.global_batch_size,
        rows=with_tiers(found),
        legend=legend(),
        notes=tuple(dict.fromkeys((*table.notes, *_of_here(cards), *_about(found)))),
        seconds=time.perf_counter() - started,
    )


def _of_here(cards: Sequence[Gpu]) -> Sequence[str]:
    """Which cards' times rest on what was measured here."""
    timed = [card.name for card in cards if card.here is not None]
    why = f"the time of {', '.join(timed)} rests on what was measured on this machine: `finefit estimate` says how"
    return (*([why] if timed else []), *(text for card in cards for text in calibrations.trouble(card.name)))


def _wanted(job: Job, rows: int | None, epochs: float, tokens: int | None) -> Wanted:
    assert job.max_length is not None
    if tokens is not None:
        return Wanted(math.ceil(tokens / job.max_length), 1.0, job.max_length)
    return Wanted(ROWS if rows is None else rows, epochs, job.max_length)


def _row(card: Gpu, count: int, name: MethodName, found: Cell, wanted: Wanted, known: Sequence[Price]) -> Row:
    steps = 0 if found.answer is None else math.ceil(wanted.tokens / found.answer.tokens_per_step)
    return Row(
        gpu=card.name,
        count=count,
        method=name,
        memory_bytes=card.vram_bytes,
        verdict=found.verdict,
        answer=found.answer,
        why=found.why,
        hours=None if found.answer is None else steps * found.answer.step_seconds / 3600,
        offer=cheapest(card.name, count, prices=known),
    )


def _about(rows: Sequence[Row]) -> Sequence[str]:
    """What every figure may be off by."""
    off = [row.answer.off for row in rows if row.answer is not None]
    if not off:
        return ()
    said = (
        f"from {100 * min(off):.0f} to {100 * max(off):.0f} % by engine"
        if len(set(off)) > 1
        else f"{100 * off[0]:.0f} %"
    )
    hosts = any(row.answer is not None and row.answer.is_offloaded for row in rows)
    return (
        *(
            ("whether the host has memory for what is offloaded is not asked: `finefit plan` says how much",)
            if hosts
            else ()
        ),
        f"memory is about: allocated times what the allocator usually takes beside it, which may be off by {said}; "
        "fits is said where the smallest recipe does with the most that was met, tight where with the least. `finefit "
        "plan` asks the allocator",
        "prices are the cheapest that the list has on demand or of a community, each true on its date; every row is as "
        "long as the longest",
    )


@dataclass
class _Table:
    """Cells; what cards of a kind share is made once."""

    job: Job
    model: Model
    rehearses: bool
    say: Callable[[str], None]
    ranks: tuple[int, int] | None
    # between which other numbers of GPUs lie

    def __post_init__(self) -> None:
        self.notes: list[str] = []
        self._rehearsals: dict[Kind, Rehearsals] = {}
        self._drafts: dict[tuple[Kind, MethodName], Drafts | str] = {}
        self._levels: dict[tuple[Kind, MethodName, int], Levels] = {}
        self._cards: dict[tuple[Gpu, MethodName], Card] = {}

    def cell(self, gpu: Gpu, count: int, name: MethodName) -> Cell:
        kind = _kind(gpu)
        drafts = self._drafts_of(kind, name)
        if isinstance(drafts, str):
            return Cell("no", None, drafts)
        levels = self._levels_of(kind, name, count, drafts)
        card = self._cards.setdefault((gpu, name), Card(gpu))
        found = cell(card, drafts.asked.method, levels)
        return replace(found, why=UNKNOWN) if found.verdict is None else found

    def _levels_of(self, kind: Kind, name: MethodName, count: int, drafts: Drafts) -> Levels:
        key = kind, name, count
        if key not in self._levels:
            asked = replace(drafts.asked, machine=replace(drafts.asked.machine, count=count))
            self._levels[key] = levels_of(drafts, asked)
            self._note(name, self._levels[key])
        return self._levels[key]

    def _note(self, name: MethodName, levels: Levels) -> None:
        unknown = {family.engine for level in levels for family in level if family.engine and not family.is_known}
        if unknown and any(family.is_known for level in levels for family in level):
            self.notes.append(f"{name}: engines that divide are {UNKNOWN}")

    def _drafts_of(self, kind: Kind, name: MethodName) -> Drafts | str:
        key = kind, name
        if key not in self._drafts:
            self._drafts[key] = self._new_drafts(kind, name)
        return self._drafts[key]

    def _new_drafts(self, kind: Kind, name: MethodName) -> Drafts | str:
        job, machine = replace(self.job, method=name), Machine(_standing_for(kind))
        try:
            method, agreed = beside_packed(method_of(job), self.model)
        except BadInput as refused:
            return refused.problems[0].why
        self.notes += agreed
        if kind not in self._rehearsals:
            self._rehearsals[kind] = Rehearsals(
                self.model, machine, self.say, job.trust_remote_code, images_of(job), task_of(job), self.rehearses
            )
        return Drafts(self._rehearsals[kind], Asked(job, method, self.model, machine), self.ranks)


def _kind(gpu: Gpu) -> Kind:
    return gpu.compute_capability >= (8, 0), gpu.native_bf16


def _standing_for(kind: Kind) -> Gpu:
    """Of the cards of a kind, one on which cuBLAS keeps most."""
    alike = [row.gpu for row in catalogued() if row.gpu is not None and _kind(row.gpu) == kind]
    return max(alike, key=lambda gpu: cublas_workspace_bytes(gpu.compute_capability))
