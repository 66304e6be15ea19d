"""One engine with one micro-batch, whichever card runs it: what is allocated with each number of checkpointed layers.

Knows: the smallest from the tape of all layers checkpointed; every other number, down to none, from the tape of some.
Does not know better than `tape/affine.py`: buckets of ZeRO that are filled across layers make no straight lines, and
such peaks may be too high (by up to a third, full fine-tuning on two GPUs). A step of one micro-batch is read off one
of two without the second; where DeepSpeed reduces after the last, off both, which is too high by up to an eighth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

from finefit.estimate.pace.pace import Effort, Work, work_on
from finefit.estimate.pace.setup import Setup
from finefit.nouns.engine import DeepSpeed, Engine
from finefit.nouns.knobs import Knobs
from finefit.tape.peaks import CUDA_BLOCK_BYTES, moments

from .candidates import LEAST_SHOWN, Asked
from .drafts import ANCHORS, Drafts, Toil

Shape = tuple[int, tuple[int, ...]]
"""Checkpointed layers of a recording, and all numbers of them that it tells of."""


WorkOf = Callable[[int], Work]
"""Of a step with so many layers checkpointed, on one card."""


@dataclass(frozen=True)
class Peak:
    layers_checkpointed: int
    nbytes: int
    # allocated


@dataclass
class Family:
    drafts: Drafts
    asked: Asked
    # its engine is pinned
    micro_batch: int
    _peaks: dict[tuple[int, bool], tuple[Peak, ...]] = field(default_factory=dict)

    @cached_property
    def _all(self) -> tuple[Knobs, Engine | None]:
        return self.asked.knobs(self.micro_batch, "all")

    @property
    def engine(self) -> Engine | None:
        return self._all[1]

    @property
    def accumulated(self) -> int:
        return self._all[0].gradient_accumulation_steps

    def knobs(self, layers_checkpointed: int) -> Knobs:
        is_all = layers_checkpointed == self.asked.model.layers
        return replace(self._all[0], gradient_checkpointing="all" if is_all else layers_checkpointed)

    @cached_property
    def shapes(self) -> tuple[Shape, ...]:
        """The most checkpointed first."""
        layers = self.asked.model.layers
        half = layers // 2
        match self.asked.job.gradient_checkpointing:
            case "auto" if min(half, layers - half) >= LEAST_SHOWN and self._is_few:
                return (layers, (layers,)), (half, (*range(layers - LEAST_SHOWN, LEAST_SHOWN - 1, -1), 0))
            case "auto":
                return (layers, (layers,)), (0, (0,))
            case "all":
                return ((layers, (layers,)),)
            case "none":
                return ((0, (0,)),)
            case count:
                return ((count, (count,)),)

    @cached_property
    def _is_few(self) -> bool:
        knobs = self.knobs(self.asked.model.layers)
        if self.drafts.is_free:
            knobs = replace(knobs, per_device_train_batch_size=ANCHORS[0])
        return self.drafts.few(knobs, self.engine) is not None

    @cached_property
    def is_known(self) -> bool:
        """There is a recording of each shape."""
        return all(self.toil(recorded) is not None for recorded, _ in self.shapes)

    def toil(self, layers_checkpointed: int) -> Toil | None:
        """Of any number of layers that one recording tells of; by that of the fewest, where several do."""
        recorded = self.shapes[-1][0] if self._is_few else layers_checkpointed
        return self.drafts.toil(self.knobs(recorded), self.engine)

    def work_on(self, toil: Toil, setup: Setup) -> WorkOf:
        """On the card of the setup."""
        if isinstance(toil.efforts, Effort):
            work = work_on(toil.efforts, setup)
            return lambda _: work
        lines = toil.efforts.on(setup)
        return lambda count: lines.work(self._parts(count, lines.counts))

    @cached_property
    def needs_room(self) -> int:
        """Bytes of a card on which DeepSpeed makes flat parameters beside those that they replace; else they go to the
        host meanwhile."""
        toil = self.toil(self.shapes[0][0])
        is_flat = isinstance(self.engine, DeepSpeed) and self.engine.stage in (1, 2)
        if toil is None or not toil.setup.trains_all or not is_flat:
            return 0
        efforts = toil.efforts
        if isinstance(efforts, Effort):
            return 2 * efforts.weights_bytes
        letter, count = next(iter(efforts.counts)), sum(efforts.counts.values())
        each = efforts.more[letter].weights_bytes - efforts.base.weights_bytes
        return 2 * int(efforts.base.weights_bytes + (self.asked.model.layers - count) * each)

    def smallest(self, has_room: bool) -> Peak | None:
        return next(iter(self._of(self.shapes[0], has_room)), None)

    def largest_within(self, nbytes: float, has_room: bool) -> Peak | None:
        """With the fewest layers checkpointed."""
        for shape in reversed(self.shapes):
            for peak in reversed(self._of(shape, has_room)):
                if peak.nbytes <= nbytes:
                    return peak
        return None

    def _of(self, shape: Shape, has_room: bool) -> tuple[Peak, ...]:
        key = shape[0], has_room
        if key not in self._peaks:
            self._peaks[key] = tuple(self._new(shape, has_room))
        return self._peaks[key]

    def _new(self, shape: Shape, has_room: bool) -> Iterator[Peak]:
        recorded, counts = shape
        knobs = self.knobs(recorded)
        if not self._is_few:
            yield from self._of_whole(knobs, recorded, has_room)
            return
        lines = self.drafts.lines(knobs, self.engine, has_room)
        if lines is None:
            return
        if self._is_single:
            lines = replace(lines, base={place: n for place, n in lines.base.items() if not _is_second(place[0])})
        yield from (Peak(count, int(lines.peak(self._parts(count, lines.counts)))) for count in counts)

    def _of_whole(self, knobs: Knobs, count: int, has_room: bool) -> Iterator[Peak]:
        found = self.drafts.whole(knobs, self.engine)
        if found is not None:
            recording = self.drafts.on_rank("whole", found[0], knobs, self.engine, found[1], has_room)
            found_moments = moments(recording, CUDA_BLOCK_BYTES)
            counted = [one for part, one in found_moments if not (self._is_single and _is_second(part.label))]
            yield Peak(count, max(one.nbytes for one in counted))

    @property
    def _is_single(self) -> bool:
        """A step has one micro-batch, and the engine does nothing in a second that it must not leave out."""
        return self.accumulated == 1 and not isinstance(self.engine, DeepSpeed)

    def _parts(self, count: int, letters: Iterable[str]) -> dict[str, int]:
        return {letter: count if letter.isupper() else self.asked.model.layers - count for letter in letters}


def _is_second(label: str) -> bool:
    """Of a segment in a step's second micro-batch."""
    return label.split("/")[1] == "1"
