"""torch's FullyShardedDataParallel (FSDP1): the parameters of a unit are one flat parameter, divided among the ranks.

    torch 2.13       distributed/fsdp/_flat_param.py
        shard               a part of the flat parameter, padded to the ranks
        pre_unshard, _use_low_precision_shard, post_unshard
                            where the part is float32 a copy of it in half, until the gather is done
        _alloc_padded_unsharded_flat_param   what is gathered: one buffer, and parameters are views of it
        _get_unflat_views_unaligned          by torch.split: backward joins the gradients of a unit in a flat one
                     distributed/fsdp/_runtime_utils.py
        _post_forward, _root_pre_forward     freed after forward; the root's stays until backward is over
        _pre_backward_hook, _get_handle_to_prefetch   BACKWARD_PRE: the next unit is gathered before this one's backward
        _post_backward_hook, _reduce_grad    the unit goes, then a part of the gradient is made, and the whole one goes
        _accumulate_sharded_grad             parts are added
        _register_post_backward_reshard_only_hook     of a frozen unit, on what it is called with
                     autograd/graph.py: register_multi_grad_hook   the hook knows the node that knows the tensor: beside
                            reentrant checkpoints, whose tensor is a leaf, it and its gradient stay to the end of
                            backward
    accelerate 1.15  accelerator.py: prepare_model: what is trained becomes float32 in its parts under mixed precision
    peft 0.21        utils/other.py: fsdp_auto_wrap_policy: each matrix of an adapter is a unit by itself

Does not know: streams (memory is taken in the host's order, as the allocator counts it), no_sync, which keeps whole
gradients between micro-batches, CPU offload, hybrid sharding, what loading takes on the way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

from finefit.catalog.optimizers import Optimizer, state_bytes
from finefit.nouns.engine import FSDP1
from finefit.nouns.recording import Recording
from finefit.tape.peaks import Kind, Segment, segments
from finefit.tape.rewrite import ENTERING, LEAVING, Place

from . import states as kinds
from .parameters import Arrival, Backward, Parameter, Step, parameters_of, steps_of
from .states import FLOAT, Rank, end_of_load, without_optimizer

WHOLE: Kind = ("gradient", "backward", "", "flat")
SHARDS: Kind = ("gradient", "backward", "", "shards")
Unit = tuple[Parameter, ...]
"""What is gathered together."""


def compose(recording: Recording, engine: FSDP1, optimizer: Optimizer, width: int) -> Rank:
    """`width`: bytes of one element as it is computed in. Ranks are alike but for padding."""
    return _Composed(recording, engine, optimizer, width).told()


class _Composed:
    def __init__(self, recording: Recording, engine: FSDP1, optimizer: Optimizer, width: int) -> None:
        self.recording, self.engine, self.optimizer = recording, engine, optimizer
        self.parameters = parameters_of(recording, width)
        self.rewrite = without_optimizer(recording)
        self.widens = FLOAT // width if engine.mixed else 1
        # how much wider than what is gathered the trained parts are
        self.by_step: dict[str, list[Segment]] = defaultdict(list)
        for segment in segments(recording):
            self.by_step[segment.label.split("/")[0]].append(segment)

    @cached_property
    def root(self) -> Unit:
        """All that is in no layer."""
        return tuple(one for one in self.parameters if one.block is None and not is_adapter(one))

    @cached_property
    def layers(self) -> tuple[Unit, ...]:
        blocks = range(self.recording.blocks)
        return tuple(
            tuple(one for one in self.parameters if one.block == block and not is_adapter(one)) for block in blocks
        )

    @cached_property
    def adapters(self) -> tuple[Parameter, ...]:
        return tuple(one for one in self.parameters if is_adapter(one))

    @property
    def trained_units(self) -> list[Unit]:
        whole = [unit for unit in (self.root, *self.layers) if unit and unit[0].is_trained]
        return [*whole, *((one,) for one in self.adapters)]

    def gathered_bytes(self, unit: Unit) -> int:
        return self.part_bytes(unit) * self.engine.ranks

    def part_bytes(self, unit: Unit) -> int:
        """As it is gathered."""
        return -(-sum(one.nbytes for one in unit) // self.engine.ranks)

    def kept_bytes(self, unit: Unit) -> int:
        """As a rank keeps its part, and the gradient's."""
        return self.part_bytes(unit) * (self.widens if unit[0].is_trained else 1)

    def told(self) -> Rank:
        self._states()
        parts: list[int] = []
        for number, step in enumerate(steps_of(self.recording, self.parameters)):
            begin = self.by_step[str(number)][0].stop, LEAVING
            for each in parts:  # zero_grad drops views of them; they go when the next pass is on its way
                self.rewrite.dies(each, begin)
            parts = []
            for micro, backward in enumerate(step.backwards):
                of = [each for each in self.by_step[str(number)] if each.label.split("/")[1] == str(micro)]
                parts += _Pass(self, of, backward, is_first=micro == 0).told()
            self._step(step, is_first=number == 0)
        return Rank.told(self.rewrite, {})

    def _states(self) -> None:
        place = end_of_load(self.recording)
        self.rewrite.drop(one.storage for one in self.parameters)
        for unit in (self.root, *self.layers, *((one,) for one in self.adapters)):
            if unit:
                kind = kinds.MASTER if unit[0].is_trained else kinds.WEIGHTS
                self.rewrite.born(place, self.kept_bytes(unit), kind)
        if self.engine.mixed:
            self._as_loaded(place)

    def _as_loaded(self, place: Place) -> None:
        """The half that became float32: the module's parameters are views of it until they are those of the new one."""
        forward = [one for one in self.by_step["0"] if one.phase == "forward" and one.label.split("/")[1] == "0"]
        for unit in self.trained_units:
            label = f"/forward/{unit[0].block}"
            segment = next((one for one in forward if one.label.endswith(label)), forward[-1])
            number = self.rewrite.born(place, self.part_bytes(unit), kinds.WEIGHTS)
            self.rewrite.dies(number, (segment.stop, LEAVING))

    def _step(self, step: Step, *, is_first: bool) -> None:
        """States have the dtype of the parts."""
        place: Place = (step.start, ENTERING)
        kept = [self.kept_bytes(unit) for unit in self.trained_units]
        if is_first:
            for nbytes in (size for each in kept for size in state_bytes(self.optimizer, each // FLOAT)):
                self.rewrite.born(place, nbytes, kinds.MOMENTS)
        if self.optimizer.temporaries:
            self.rewrite.passes(place, self.optimizer.temporaries * sum(kept), kinds.STEP)


def is_adapter(parameter: Parameter) -> bool:
    return ".lora_" in parameter.name


def _events(recording: Recording, segment: Segment) -> tuple[int, ...]:
    return recording.events[segment.start : segment.stop]


def _is_layer(segment: Segment) -> bool:
    return segment.label.split("/")[-1].isdigit()


class _Pass:
    """One micro-batch, forward and backward."""

    def __init__(self, composed: _Composed, of: Sequence[Segment], backward: Backward, *, is_first: bool) -> None:
        self._of, self._rewrite = composed, composed.rewrite
        self._forward = [segment for segment in of if segment.phase == "forward"]
        self._back = [segment for segment in of if segment.phase == "backward"]
        self._arrivals, self._is_first = backward.arrivals, is_first
        self._parts: list[int] = []

    def told(self) -> list[int]:
        """The gradient's parts, which the step needs."""
        start = next(segment for segment in self._forward if segment.label.split("/")[2] != "batch").start
        root = self._gathered(self._of.root, (start, ENTERING))
        for block, unit in enumerate(self._of.layers):
            segment = next(each for each in self._forward if each.label.endswith(f"/forward/{block}"))
            self._drop(self._gathered(unit, (segment.start, ENTERING)), (segment.stop, LEAVING))
        self._backwards(root)
        return self._parts

    def _backwards(self, root: int | None) -> None:
        layers, begin = self._of.layers, (self._back[0].start, ENTERING)
        # before the root's backward, which is the first
        ahead = self._gathered(layers[-1], begin) if self._of.engine.prefetches else None
        for arrival in self._arrivals:
            if is_adapter(arrival.parameter):
                self._reduced((arrival.parameter,), [arrival], (arrival.position, LEAVING))
        for block in reversed(range(len(layers))):
            segment, unit = self._layer(block), layers[block]
            start: Place = (segment.start, ENTERING)
            out = ahead if ahead is not None else self._gathered(unit, start)
            end: Place = (self._layer(block - 1).start, LEAVING) if block else (segment.stop, LEAVING)
            ahead = self._ahead(block)
            mine = [each for each in self._arrivals if each.parameter in unit]
            if mine:  # joined when the last is there
                end = max(each.position for each in mine), LEAVING
            self._reduced(unit, mine, end, out)
        stop: Place = (self._back[-1].stop, LEAVING)
        if not self._of.engine.prefetches and not layers[0][0].is_trained:
            for number in self._hooked():
                self._rewrite.dies(number, stop)
        self._reduced(self._of.root, [each for each in self._arrivals if each.parameter in self._of.root], stop, root)

    def _hooked(self) -> Iterator[int]:
        """Inputs of layers, and their gradients: what goes from layer to layer, in forward and in backward."""
        recording = self._of.recording
        born = {event: segment for segment in self._forward for event in _events(recording, segment) if event > 0}
        for segment in self._back:
            for event in _events(recording, segment):
                made = born.get(-event)
                if event > 0:
                    born[event] = segment
                elif made is not None and made is not segment and _is_layer(segment) and self._passes_on(made, -event):
                    yield -event

    def _passes_on(self, made: Segment, number: int) -> bool:
        category = self._of.recording.kind_names[self._of.recording.kinds[number - 1]][0]
        return category == "checkpoint" if made.phase == "forward" else _is_layer(made) and category == "activation"

    def _ahead(self, block: int) -> int | None:
        """The next layer, which is gathered as this one begins its backward; after its adapters where it has some."""
        if not (self._of.engine.prefetches and block):
            return None
        last = max((each.position for each in self._arrivals if self._is_of(each, block)), default=None)
        place: Place = (self._layer(block).start, ENTERING) if last is None else (last, LEAVING)
        return self._gathered(self._of.layers[block - 1], place)

    def _is_of(self, arrival: Arrival, block: int) -> bool:
        return is_adapter(arrival.parameter) and arrival.parameter.block == block

    def _layer(self, block: int) -> Segment:
        return next(segment for segment in self._back if segment.label.endswith(f"/backward/{block}"))

    def _gathered(self, unit: Unit, place: Place) -> int | None:
        if not unit:
            return None
        if self._of.engine.mixed and unit[0].is_trained:
            half = self._rewrite.born(place, self._of.part_bytes(unit), kinds.GATHERED)
            out = self._rewrite.born(place, self._of.gathered_bytes(unit), kinds.GATHERED)
            self._rewrite.dies(half, place)
            return out
        return self._rewrite.born(place, self._of.gathered_bytes(unit), kinds.GATHERED)

    def _drop(self, number: int | None, place: Place) -> None:
        if number is not None:
            self._rewrite.dies(number, place)

    def _reduced(self, unit: Unit, arrivals: Iterable[Arrival], place: Place, out: int | None = None) -> None:
        """Gradients are joined, the unit goes, and of the joined one a part is left."""
        if not (unit and unit[0].is_trained):
            self._drop(out, place)
            return
        whole = self._rewrite.born(place, self._of.gathered_bytes(unit), WHOLE)
        for arrival in arrivals:
            self._rewrite.dies(arrival.storage, place)
        self._drop(out, place)
        part = self._rewrite.born(place, self._of.part_bytes(unit), SHARDS)
        if self._of.widens != 1:
            half, part = part, self._rewrite.born(place, self._of.kept_bytes(unit), SHARDS)
            self._rewrite.dies(half, place)
        self._rewrite.dies(whole, place)
        if self._is_first:
            self._parts.append(part)
        else:
            self._rewrite.dies(part, place)
