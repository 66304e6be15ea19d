"""torch's FSDP2: every parameter is divided among the ranks, and gathered with its unit, a layer.

    torch 2.13       distributed/fsdp/_fully_shard/_fsdp_param_group.py
        unshard             a flat all-gather output, from shards in the dtype of computing
        wait_for_unshard    parameters are copied out of it; in forward it lives until the next unit's copy-out
        _backward_prefetch  the next unit's gather begins while one runs
        post_backward, foreach_reduce   a reduce-scatter input of the unit, its output, and that in the shards' dtype;
                            the input lives until the next unit's
    accelerate 1.15  utils/fsdp_utils.py: fsdp2_prepare_model: trained parameters become float32, but not beside 4-bit
                     ones; units: the embedding, each layer, and the last norm with the head, which stay after forward;
                     under PEFT the norm is found nowhere and belongs to the model itself
    trl 1.16         the fused loss under PEFT reads the head's weight itself: it is gathered whole, from forward on

Held against real runs of 1, 2 and 4 processes. Parameters are divided by whole rows; a recording says no shapes, so but
for adapters rows are taken to divide by the ranks (a row too little for each that does not; experts that are fewer than
the ranks would take more). Does not know: streams, what loading takes on the way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile

from finefit.catalog.modules import HEADS
from finefit.catalog.optimizers import Optimizer, state_bytes
from finefit.nouns.engine import FSDP2
from finefit.nouns.recording import Recording
from finefit.tape.peaks import Kind, Segment, segments
from finefit.tape.rewrite import ENTERING, LEAVING, Place

from . import states as kinds
from .calls import first_product
from .parameters import Backward, Parameter, Step, adapter_rows, outside_of, parameters_of, steps_of
from .states import FLOAT, Rank, end_of_load, without_optimizer

INPUT: Kind = ("bucket", "backward", "", "reduce_scatter")
SHARDS: Kind = ("gradient", "backward", "", "shards")
EMBEDDING = -1
"""Among the layers, the one before the first."""


@dataclass(frozen=True)
class Unit:
    """What is gathered together."""

    parameters: tuple[Parameter, ...]

    @property
    def is_trained(self) -> bool:
        return any(one.is_trained for one in self.parameters)


@dataclass(frozen=True)
class Units:
    own: Unit
    # of the model itself; it stays gathered after forward, as the tail does
    embedding: Unit
    # none where it is tied: then it is in the tail
    layers: tuple[Unit, ...]
    tail: Unit
    read: tuple[Parameter, ...]
    # by the loss itself, in the place of a unit


def compose(recording: Recording, engine: FSDP2, optimizer: Optimizer, width: int, rank: int = 0) -> Rank:
    """`width`: bytes of one element as it is computed in. Ranks are alike, but that the last ones' parts are padded
    where rows do not divide, and padding has no state."""
    return _Composed(recording, engine, optimizer, width, rank).told()


class _Composed:
    def __init__(self, recording: Recording, engine: FSDP2, optimizer: Optimizer, width: int, rank: int) -> None:
        self.recording, self.engine, self.optimizer, self.width = recording, engine, optimizer, width
        self.rank = rank
        self.parameters = parameters_of(recording, width)
        self.rows = adapter_rows(self.parameters)
        self.rewrite = without_optimizer(recording)
        self.shard_width = width if any(one.is_packed for one in self.parameters) else FLOAT
        # of what is trained
        self.host: dict[str, int] = defaultdict(int)
        self.by_step: dict[str, list[Segment]] = defaultdict(list)
        for segment in segments(recording):
            self.by_step[segment.label.split("/")[0]].append(segment)

    @cached_property
    def units(self) -> Units:
        outside = outside_of(self.parameters)
        embedding, head, rest = outside.embedding, outside.head, outside.rest
        layers = tuple(
            Unit(tuple(one for one in self.parameters if one.block == block)) for block in range(self.recording.blocks)
        )
        has_adapter = any(name[0] == "adapter" for name in self.recording.kind_names)
        own, norm = (rest, ()) if has_adapter else ((), rest)
        if not head:  # tied: one unit, gathered where the embedding is called
            return Units(Unit(own), Unit(()), layers, Unit((*embedding, *norm)), ())
        if has_adapter and not self._calls_head:
            return Units(Unit(own), Unit(embedding), layers, Unit(()), head)
        return Units(Unit(own), Unit(embedding), layers, Unit((*norm, *head)), ())

    @property
    def _calls_head(self) -> bool:
        return any(name[2].rpartition(".")[2] in HEADS for name in self.recording.kind_names)

    def shard(self, parameter: Parameter) -> int:
        """Elements of a part: whole rows. Where rows are not known, as though they divided by the ranks."""
        rows = self.rows.get(parameter.storage, parameter.elements)
        return -(-rows // self.engine.ranks) * (parameter.elements // rows)

    def unpadded(self, parameter: Parameter) -> int:
        """Of this rank's part."""
        part = self.shard(parameter)
        return max(0, min(part, parameter.elements - self.rank * part))

    def gathered_bytes(self, parameters: Iterable[Parameter]) -> int:
        return sum(self.shard(one) * self.engine.ranks * (1 if one.is_packed else self.width) for one in parameters)

    def trained(self, unit: Unit) -> int:
        """Elements of its shards."""
        return sum(self.shard(one) for one in unit.parameters if one.is_trained)

    def told(self) -> Rank:
        self._states()
        for number, step in enumerate(steps_of(self.recording, self.parameters)):
            sums: list[int] = []
            for micro, backward in enumerate(step.backwards):
                of = [each for each in self.by_step[str(number)] if each.label.split("/")[1] == str(micro)]
                sums += _Pass(self, of, backward, is_first=micro == 0).told()
            self._step(step, sums, is_first=number == 0)
        return Rank.told(self.rewrite, self.host)

    def _states(self) -> None:
        place = end_of_load(self.recording)
        if self.engine.offload:
            trained = sum(self.shard(one) for one in self.parameters if one.is_trained)
            self.host["gradients of a step"] = self.shard_width * trained
        self.rewrite.drop(one.storage for one in self.parameters)
        for one in self.parameters:
            wide = self.shard_width if one.is_trained else 1 if one.is_packed else self.width
            kind, what = (kinds.MASTER, "trained weights") if one.is_trained else (kinds.WEIGHTS, "weights")
            self.hold(place, wide * self.shard(one), kind, what)

    def hold(self, place: Place, nbytes: int, kind: Kind, what: str) -> int | None:
        """On the device, or in the host's memory."""
        if not self.engine.offload:
            return self.rewrite.born(place, nbytes, kind)
        self.host[what] += nbytes
        return None

    def _step(self, step: Step, gradients: Sequence[int], *, is_first: bool) -> None:
        place: Place = (step.start, ENTERING)
        shards = [self.unpadded(one) for one in self.parameters if one.is_trained]
        if is_first:
            for nbytes in (size * self.shard_width // FLOAT for n in shards for size in state_bytes(self.optimizer, n)):
                self.hold(place, nbytes, kinds.MOMENTS, "optimizer state")
        if self.optimizer.temporaries and not self.engine.offload:
            self.rewrite.passes(place, self.optimizer.temporaries * self.shard_width * sum(shards), kinds.STEP)
        for number in gradients:
            self.rewrite.dies(number, (step.stop, LEAVING))


class _Pass:
    """One micro-batch, forward and backward."""

    def __init__(self, composed: _Composed, of: Sequence[Segment], backward: Backward, *, is_first: bool) -> None:
        self._of, self._rewrite, self._units = composed, composed.rewrite, composed.units
        own = [segment for segment in of if not _is(segment, "load") and not _is(segment, "batch")]
        self._forward = list(takewhile(lambda segment: segment.phase == "forward", own))
        self._reference = [segment for segment in own if segment.phase == "reference"]
        self._back = [segment for segment in of if segment.phase == "backward"]
        self._is_first = is_first
        self._flat: int | None = None
        # of the unit that was gathered last in forward
        self._input: int | None = None
        # of the reduction before
        self._sums: list[int] = []
        self._there: dict[int, int] = {}
        # what stays gathered after forward: layers by their numbers, the embedding
        self._gradients: dict[int, list[int]] = defaultdict(list)
        for arrival in backward.arrivals:
            self._gradients[arrival.parameter.storage].append(arrival.storage)

    def told(self) -> list[int]:
        """The gradients' shards, which the step needs."""
        start: Place = (self._forward[0].start, ENTERING)
        left = {0: self._gathered(self._units.own, start)}
        if not self._units.embedding.parameters:  # it is in the tail
            left[1] = self._gathered(self._units.tail, start)
        left |= self._forwards(self._forward, Unit(()) if 1 in left else self._units.tail)
        if self._reference:  # through the model itself: what stays gathered, is there
            end: Place = (self._reference[-1].stop, LEAVING)
            self._drop(self._forwards(self._reference, Unit(())).values(), end)
        self._backwards({place: number for place, number in left.items() if number is not None})
        return self._sums

    def _forwards(self, of: Sequence[Segment], tail: Unit) -> dict[int, int | None]:
        """Through all that is not there. What stays gathered: by its place, 1 the tail, 2 what the loss reads; and
        layers that are not divided again."""
        first, loss = _first_layer(of), of[-1]
        self._forwarded(EMBEDDING, self._units.embedding, (of[0].start, ENTERING), (first, LEAVING))
        for block, unit in enumerate(self._units.layers):
            segment = next(each for each in of if each.label.endswith(f"/{block}"))
            self._forwarded(block, unit, (segment.start, ENTERING), (segment.stop, LEAVING))
        left = {1: self._gathered(tail, (loss.start, ENTERING))} if tail.parameters else {}
        if self._units.read:
            nbytes = self._of.gathered_bytes(self._units.read)
            left[2] = self._rewrite.born((loss.start, ENTERING), nbytes, kinds.GATHERED)
        self._drop([self._flat], (loss.stop, LEAVING))
        self._flat = None
        return left

    def _forwarded(self, block: int, unit: Unit, start: Place, stop: Place) -> None:
        if block in self._there:
            return
        out = self._gathered(unit, start)
        if self._of.engine.reshard_after_forward:
            self._drop([out], stop)
        elif out is not None:
            self._there[block] = out

    def _gathered(self, unit: Unit, place: Place) -> int | None:
        """The parameters of a unit; the flat output that they are copied from outlives the copying."""
        nbytes = self._of.gathered_bytes(unit.parameters)
        if not nbytes:
            return None
        if self._of.engine.ranks == 1:
            return self._copied(unit, place)
        flat = self._gather(unit, place)
        out = self._rewrite.born(place, nbytes, kinds.GATHERED)
        self._drop([self._flat], place)
        self._flat = flat
        return out

    def _copied(self, unit: Unit, place: Place) -> int:
        """One rank alone copies its shards, each cast by itself, without a flat output (wait_for_unshard)."""
        out = self._rewrite.born(place, self._of.gathered_bytes(unit.parameters), kinds.GATHERED)
        if self._of.shard_width != self._of.width:
            cast = max((one.elements for one in unit.parameters if one.is_trained), default=0)
            self._rewrite.passes(place, self._of.width * cast, kinds.GATHERED)
        return out

    def _gather(self, unit: Unit, place: Place) -> int:
        cast = self._of.trained(unit) * self._of.width if self._of.shard_width != self._of.width else 0
        flat = self._rewrite.born(place, self._of.gathered_bytes(unit.parameters), kinds.GATHERED)
        if cast:
            self._rewrite.passes(place, cast, kinds.GATHERED)
        return flat

    def _drop(self, numbers: Iterable[int | None], place: Place) -> None:
        for number in numbers:
            if number is not None:
                self._rewrite.dies(number, place)

    def _backwards(self, left: dict[int, int]) -> None:
        layers = len(self._units.layers)
        stop: Place = (self._back[-1].stop, LEAVING)
        first = self._back[0]
        head = first.start if self._units.read else first_product(self._of.recording, first)
        flat = self._ahead(layers - 1, (head, ENTERING))
        tail: Place = (self._layer(layers - 1).start, LEAVING)
        is_tied = not self._units.embedding.parameters
        if not is_tied:
            self._drop([left.get(1)], tail)
            self._reduced(self._units.tail, tail)
        for block in reversed(range(layers)):
            segment, unit = self._layer(block), self._units.layers[block]
            start: Place = (segment.start, ENTERING)
            out = self._out(block, unit, start)
            self._drop([flat], start)
            flat = self._ahead(block - 1, start)
            end: Place = (self._layer(block - 1).start, LEAVING) if block else (segment.stop, LEAVING)
            self._drop([out], end)
            self._reduced(unit, end)
        if self._units.embedding.is_trained:
            out = self._out(EMBEDDING, self._units.embedding, stop)
            self._drop([flat, out], stop)
            self._reduced(self._units.embedding, stop)
        else:
            self._drop([flat, self._there.pop(EMBEDDING, None)], stop)
        if is_tied:  # its gradient is whole when the embedding's is there
            self._drop([left.get(1)], stop)
            self._reduced(self._units.tail, stop)
        self._drop([left.get(0), left.get(2), self._input], stop)

    def _out(self, block: int, unit: Unit, place: Place) -> int:
        """In backward, where the flat output is there already, or the unit itself still is."""
        if block in self._there:
            return self._there.pop(block)
        if self._of.engine.ranks == 1:
            return self._copied(unit, place)
        return self._rewrite.born(place, self._of.gathered_bytes(unit.parameters), kinds.GATHERED)

    def _ahead(self, block: int, place: Place) -> int | None:
        """The next unit of backward: a layer, or the embedding, which is gathered for nothing where it is frozen."""
        unit = self._units.embedding if block == EMBEDDING else self._units.layers[block]
        if not unit.parameters or block in self._there or self._of.engine.ranks == 1:
            return None
        return self._gather(unit, place)

    def _layer(self, block: int) -> Segment:
        return next(segment for segment in self._back if segment.label.endswith(f"/backward/{block}"))

    def _reduced(self, unit: Unit, place: Place) -> None:
        """Gradients become shards, which are added to those of earlier micro-batches."""
        elements = self._of.trained(unit)
        if not elements:
            return
        self._drop([self._input], place)
        self._input = self._rewrite.born(place, self._of.width * elements * self._of.engine.ranks, INPUT)
        for one in unit.parameters:
            self._drop(self._gradients.pop(one.storage, ()), place)
        output = self._rewrite.born(place, self._of.width * elements, SHARDS)
        shards = output
        if self._of.shard_width != self._of.width:
            shards = self._rewrite.born(place, self._of.shard_width * elements, SHARDS)
            self._rewrite.dies(output, place)
        if self._is_first and not self._of.engine.offload:
            self._sums.append(shards)
        else:  # added, or copied to the host
            self._rewrite.dies(shards, place)


def _is(segment: Segment, name: str) -> bool:
    return segment.label.split("/")[2] == name


def _first_layer(of: Sequence[Segment]) -> int:
    return next(segment.start for segment in of if segment.label.endswith(f"/{segment.phase}/0"))
