"""What recordings tell of recipes before any card runs them: peaks and work, each made once for all that share it.

All families of a method share the recordings, and those of an engine its composition, since nothing that an engine
makes depends on rows. Memory depends on the card by its kind alone (attention kernel, bfloat16). Where micro-batch and
number of GPUs are free, two of each are recorded and composed (`ANCHORS`), and the others lie on lines through them:
what a place of the step holds grows with the rows, and falls with a part of the GPUs. That is exact to thousandths; a
kernel that changes with the micro-batch (one row alone) is not seen. What buckets and flat parameters of full
fine-tuning hold is no such line: those are composed for each number of GPUs.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from finefit.estimate.pace.lines import EffortLines, effort_lines
from finefit.estimate.pace.pace import Effort, effort_of
from finefit.estimate.pace.setup import Setup
from finefit.estimate.rehearsed import spread
from finefit.nouns.engine import DDP, FSDP2, DeepSpeed, Engine, is_plain
from finefit.nouns.knobs import Knobs
from finefit.nouns.machine import Machine
from finefit.nouns.method import Full
from finefit.nouns.recording import Recording
from finefit.tape.affine import Few, Lines, lines_of
from finefit.tape.digest import Digest, Read
from finefit.tape.parallel.states import Rank

from .between import on_line
from .candidates import Asked, Rehearsals

ANCHORS = (2, 4)
"""Micro-batches; one row alone runs other kernels."""
ACCUMULATED = 2
"""Micro-batches of a step that is composed: more of them weigh no more but for the tensors of their batches."""
ALIKE = 2
"""GPUs, for whatever number of them, where that changes nothing."""
ROOMY = 2**50
"""Bytes of a card that has room for everything."""
Key = tuple[object, ...]


@dataclass(frozen=True)
class Toil:
    """What a step asks of any card, and with which setup."""

    efforts: EffortLines | Effort
    # of a model whose layers are of several kinds, all layers
    setup: Setup


@dataclass
class Drafts:
    """Of one method."""

    rehearsals: Rehearsals
    asked: Asked
    # on a card of the kind
    ranks: tuple[int, int] | None = None
    # two numbers of GPUs between which others lie; None: each is composed
    _few: dict[Key, tuple[Few, Setup] | None] = field(default_factory=dict)
    _whole: dict[Key, tuple[Recording, Setup] | None] = field(default_factory=dict)
    _ranks: dict[Key, tuple[Recording, Rank]] = field(default_factory=dict)
    _lines: dict[Key, Lines | None] = field(default_factory=dict)
    _toils: dict[Key, Toil | None] = field(default_factory=dict)

    def few(self, knobs: Knobs, engine: Engine | None) -> tuple[Few, Setup] | None:
        key = _key(knobs, engine)
        if key not in self._few:
            self._few[key] = self.rehearsals.few(self.asked.method, _accumulated(knobs), engine)
        return self._few[key]

    def whole(self, knobs: Knobs, engine: Engine | None) -> tuple[Recording, Setup] | None:
        key = _key(knobs, engine)
        if key not in self._whole:
            self._whole[key] = self.rehearsals.whole(self.asked.method, _accumulated(knobs), engine)
        return self._whole[key]

    @property
    def is_free(self) -> bool:
        """Of a micro-batch."""
        job = self.asked.job
        return job.per_device_train_batch_size is None and job.gradient_accumulation_steps is None

    def toil(self, knobs: Knobs, engine: Engine | None) -> Toil | None:
        """None: nothing is known of it."""
        key = _key(knobs, engine)
        if key not in self._toils:
            self._toils[key] = self._between_toils(knobs, engine) or self._toil(knobs, engine)
        return self._toils[key]

    def _between_toils(self, knobs: Knobs, engine: Engine | None) -> Toil | None:
        size = knobs.per_device_train_batch_size
        if not self.is_free or size in ANCHORS:
            return None
        first, second = (self.toil(_of_size(knobs, anchor), engine) for anchor in ANCHORS)
        if first is None or second is None:
            return None
        efforts = on_line(first.efforts, second.efforts, _part(size))
        setup = replace(first.setup, knobs=_of_size(first.setup.knobs, size))
        return None if efforts is None else Toil(efforts, setup)

    def _toil(self, knobs: Knobs, engine: Engine | None) -> Toil | None:
        few = self.few(knobs, engine)
        if few is not None:
            return Toil(effort_lines(*few), few[1])
        whole = self.whole(knobs, engine)
        return None if whole is None else Toil(effort_of(Read(whole[0]), whole[1], self.asked.model.layers), whole[1])

    def lines(self, knobs: Knobs, engine: Engine | None, has_room: bool) -> Lines | None:
        """On one of the engine's ranks. `has_room`: for flat parameters beside those that they replace."""
        key = _key(knobs, engine), engine, has_room
        if key not in self._lines:
            self._lines[key] = self._between_sizes(knobs, engine, has_room) or self._composed(knobs, engine, has_room)
        return self._lines[key]

    def _between_sizes(self, knobs: Knobs, engine: Engine | None, has_room: bool) -> Lines | None:
        size = knobs.per_device_train_batch_size
        if not self.is_free or size in ANCHORS:
            return self._between_ranks(knobs, engine, has_room)
        first, second = (self.lines(_of_size(knobs, anchor), engine, has_room) for anchor in ANCHORS)
        return None if first is None or second is None else on_line(first, second, _part(size))

    def _between_ranks(self, knobs: Knobs, engine: Engine | None, has_room: bool) -> Lines | None:
        if (
            engine is None
            or self.ranks is None
            or self._is_alike(engine)
            or engine.ranks in (1, *self.ranks)
            or not self._is_straight(engine)
        ):
            return None
        few, many = self.ranks
        first, second = (self.lines(knobs, replace(engine, ranks=ranks), has_room) for ranks in self.ranks)
        part = (1 / engine.ranks - 1 / few) / (1 / many - 1 / few)
        return None if first is None or second is None else on_line(first, second, part)

    def _is_straight(self, engine: Engine) -> bool:
        return not isinstance(self.asked.method, Full) or isinstance(engine, FSDP2)

    def _is_alike(self, engine: Engine) -> bool:
        """However many GPUs there are: DDP's buckets, and what is left where the host has the rest. One GPU has up
        to half a gigabyte less."""
        if not isinstance(engine, DeepSpeed):
            return isinstance(engine, DDP)
        return engine.offload == "all" or (engine.offload != "none" and not isinstance(self.asked.method, Full))

    def _composed(self, knobs: Knobs, engine: Engine | None, has_room: bool) -> Lines | None:
        if engine is not None and engine.ranks != ALIKE and self._is_alike(engine):
            return self.lines(knobs, replace(engine, ranks=ALIKE), has_room)
        found = self.few(knobs, engine)
        if found is None:
            return None
        few, setup = found
        if engine is None:
            return lines_of(few)

        def on_rank(name: str, alone: Digest) -> Digest:
            return Read(self.on_rank(name, alone.recording, knobs, engine, setup, has_room))

        more = {letter: on_rank(letter, one) for letter, one in few.more.items()}
        return lines_of(Few(few.layers, on_rank("", few.base), more))

    def on_rank(
        self, name: str, alone: Recording, knobs: Knobs, engine: Engine | None, setup: Setup, has_room: bool
    ) -> Recording:
        """`name`: of the recording among those of the recipe."""
        if engine is None:
            return alone
        key = name, engine, knobs.gradient_checkpointing, has_room
        before = self._ranks.get(key)
        if before is not None and before[0].events == alone.events:
            return replace(before[1].recording, nbytes=before[1].nbytes_of(alone))
        rank = spread(alone, engine, knobs, setup.knobs, self._machine(has_room))
        self._ranks[key] = alone, rank
        return rank.recording

    def _machine(self, has_room: bool) -> Machine:
        assert self.asked.machine.gpu is not None
        return replace(self.asked.machine, gpu=replace(self.asked.machine.gpu, vram_bytes=ROOMY if has_room else 0))


def _key(knobs: Knobs, engine: Engine | None) -> Key:
    return is_plain(engine), knobs.per_device_train_batch_size, knobs.gradient_checkpointing


def _accumulated(knobs: Knobs) -> Knobs:
    return replace(knobs, gradient_accumulation_steps=ACCUMULATED)


def _of_size(knobs: Knobs, micro_batch: int) -> Knobs:
    return replace(knobs, per_device_train_batch_size=micro_batch)


def _part(micro_batch: int) -> float:
    first, second = ANCHORS
    return (micro_batch - first) / (second - first)
