"""One cell of the matrix: of all recipes of a method, the fastest that seems to fit so many of a card.

The allocator is not asked: what a device shows is taken for what is allocated times what it usually is (`usual.py`).
fits: the smallest recipe does even with the most that was met. tight: with the least that was met. Where the smallest
fits, the fastest whose middle figure is on the card is the cell's recipe; else the smallest itself. What keeps more in
the host's memory is asked where nothing fits without, as `plan` does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from finefit.catalog.measured import rates_on
from finefit.catalog.rates import Rates
from finefit.estimate.pace.pace import step_seconds
from finefit.estimate.reserved import beside_tensors
from finefit.nouns.engine import Engine
from finefit.nouns.machine import Gpu
from finefit.nouns.matrix import Answer, Verdict
from finefit.nouns.method import Full, Method
from finefit.units import human_bytes

from .candidates import Asked
from .dials import engines, micro_batches
from .drafts import Drafts
from .family import Family, Peak, WorkOf
from .usual import usual

Levels = Sequence[Sequence[Family]]
"""Families that hold as much on the GPUs; each level holds less than the one before."""


@dataclass(frozen=True)
class Cell:
    verdict: Verdict | None
    # None: not known
    answer: Answer | None
    why: str = ""


def levels_of(drafts: Drafts, asked: Asked) -> Levels:
    """Unless they are pinned, without ZeRO 3 on the GPUs (FSDP2's step takes as long, and no more memory), and beside
    adapters without ZeRO 2 (ZeRO 1 is as fast at least, and their gradients are small)."""
    found = []
    for _, jobs in engines(asked.job, asked.machine):
        wished = [job for job in jobs if len(jobs) == 1 or job.zero_stage not in _left_out(asked.method)]
        sizes = micro_batches(asked.job, asked.machine.count)
        found.append([Family(drafts, replace(asked, job=job), size) for job in wished for size in sizes if size])
    return found


def _left_out(method: Method) -> tuple[int, ...]:
    return (3,) if isinstance(method, Full) else (2, 3)


@dataclass
class Card:
    """With what was timed on it so far."""

    gpu: Gpu
    _works: dict[int, WorkOf] = field(default_factory=dict)
    _beside: dict[int, int] = field(default_factory=dict)

    @property
    def limit_bytes(self) -> int:
        return self.gpu.sure_bytes

    @property
    def rates(self) -> Rates:
        rates = rates_on(self.gpu)
        assert rates is not None, "cards of a matrix are catalogued"
        return rates

    def beside(self, engine: Engine | None) -> int:
        """Bytes that are there before any tensor, at most."""
        ranks = 1 if engine is None else engine.ranks
        if ranks not in self._beside:
            self._beside[ranks] = beside_tensors(self.gpu, engine).high
        return self._beside[ranks]

    def seconds(self, family: Family, layers_checkpointed: int) -> float:
        """Of an optimizer step."""
        toil = family.toil(layers_checkpointed)
        assert toil is not None, "only of what is known"
        knobs = replace(toil.setup.knobs, gradient_accumulation_steps=family.accumulated)
        setup = replace(toil.setup, rates=self.rates, knobs=knobs)
        if id(toil) not in self._works:
            self._works[id(toil)] = family.work_on(toil, setup)
        return step_seconds(self._works[id(toil)](layers_checkpointed), setup, family.engine)


def cell(card: Card, method: Method, levels: Levels) -> Cell:
    if not any(map(len, levels)):
        return Cell("no", None, "there are more GPUs than sequences in a step")
    asked = [[family for family in level if family.is_known] for level in levels]
    smallest: list[_Sized] = []
    for level in asked:
        sizes = [one for one in _smallest(card, method, level) if one is not None]
        smallest += sizes
        if any(one.most <= card.limit_bytes for one in sizes):
            return Cell("fits", _fastest(card, method, level, min(one.most for one in sizes)))
    if not smallest:
        return Cell(None, None, "no recording of it is known")
    least = min(smallest, key=lambda one: one.least)
    if least.least <= card.limit_bytes:
        return Cell("tight", _answer(card, method, least, least.most), "as far as is known without the allocator")
    is_all_known = all(len(known) == len(level) for known, level in zip(asked, levels, strict=True))
    why = f"about {human_bytes(least.middle)} at least; {human_bytes(card.limit_bytes)} are there"
    return Cell("no" if is_all_known else None, None, why)


@dataclass(frozen=True)
class _Sized:
    """The most that a device may show."""

    family: Family
    peak: Peak
    least: float
    middle: float
    most: float


def _sized(card: Card, method: Method, family: Family, peak: Peak) -> _Sized:
    beside, known = card.beside(family.engine), usual(method, family.engine)
    sizes = (beside + peak.nbytes * ratio for ratio in (known.least, known.middle, known.most))
    return _Sized(family, peak, *sizes)


def _smallest(card: Card, method: Method, level: Sequence[Family]) -> Iterator[_Sized | None]:
    """Of each engine, with the smallest micro-batch."""
    for family in {one.engine: one for one in reversed(level)}.values():
        peak = family.smallest(_has_room(card, family))
        yield None if peak is None else _sized(card, method, family, peak)


def _has_room(card: Card, family: Family) -> bool:
    return card.gpu.vram_bytes >= family.needs_room


def _fastest(card: Card, method: Method, level: Sequence[Family], least_bytes: float) -> Answer | None:
    found = [_answer(card, method, one, least_bytes) for one in _fitting(card, method, level)]
    return min(found, key=lambda one: (one.step_seconds / one.tokens_per_step, one.peak_bytes), default=None)


def _fitting(card: Card, method: Method, level: Sequence[Family]) -> Iterator[_Sized]:
    """Of each family, what seems to fit with the fewest layers checkpointed; until a micro-batch has none."""
    full = set()
    for family in level:
        if family.engine in full:
            continue
        room = _has_room(card, family)
        within = (card.limit_bytes - card.beside(family.engine)) / usual(method, family.engine).middle
        smallest = family.smallest(room)
        if smallest is None or smallest.nbytes > within:
            full.add(family.engine)
            continue
        largest = family.largest_within(within, room)
        assert largest is not None, "the smallest is"
        yield _sized(card, method, family, largest)


def _answer(card: Card, method: Method, one: _Sized, least_bytes: float) -> Answer:
    family, layers = one.family, one.peak.layers_checkpointed
    toil = family.toil(layers)
    assert toil is not None, "only of what is known"
    tokens = toil.setup.tokens * family.accumulated * family.asked.machine.count
    return Answer(
        knobs=family.knobs(layers),
        engine=family.engine,
        layers_checkpointed=layers,
        peak_bytes=one.peak.nbytes,
        high_bytes=int(one.middle),
        least_bytes=int(least_bytes),
        off=usual(method, family.engine).off,
        step_seconds=card.seconds(family, layers),
        tokens_per_step=tokens,
    )
