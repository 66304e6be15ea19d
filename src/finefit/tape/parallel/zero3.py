"""DeepSpeed's ZeRO 3: every parameter is divided among the ranks, and gathered while a module needs it.

    deepspeed 0.19  runtime/zero/stage3.py
        _create_fp16_sub_groups, _create_fp32_partitions   parts in the weights' dtype and in float32, by sub-groups
        __init__                  grad_partitions_flat_buffer and one bucket, both for good
        __add_grad_to_ipg_bucket, __avg_scatter_grads   gradients that fit are copied to the bucket; a larger one waits
        _prepare_fp32_grad_for_sub_group                the step: sub-group after sub-group
        _post_step                persistent parameters are gathered
                    runtime/comm/coalesced_collectives.py: reduce_scatter_coalesced: a padded flat copy
                    runtime/zero/partition_parameters.py: _partition_param: each parameter is padded to the ranks;
                    beside offloaded parameters the persistent frozen ones stay
                    runtime/zero/parameter_offload.py: mark_persistent_parameters

Held against real runs of 1, 2 and 4 processes, where host and device are one memory: which of both has something is
from source. Does not know: what loading takes on the way; copies of what is offloaded on their way to the device, a
part of what is gathered at a time; that under LoRA the first layer's keys and values need no backward, so a model small
enough to stay gathered lets their weights go sooner.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from functools import cached_property

from finefit.catalog.optimizers import Optimizer, state_bytes
from finefit.nouns.engine import DeepSpeed
from finefit.nouns.recording import Recording
from finefit.tape.peaks import Kind, Segment, segments
from finefit.tape.rewrite import ENTERING, LEAVING, Place, Rewrite

from . import states as kinds
from .calls import Call, Path, backward_calls, first_product, forward_calls, path_of, with_gradient
from .coordinator import Coordinator, Partitioned
from .parameters import HEADS, Backward, Parameter, Step, groups_of, outside_of, parameters_of, steps_of
from .states import DOUBLE, FLOAT, Rank, end_of_load, loss_stays, moments_born, without_optimizer

NORM_ELEMENTS = 250_000_000
"""Of a gradient whose norm is taken at a time (stage3.py: _constant_buffered_norm2)."""


def compose(recording: Recording, engine: DeepSpeed, optimizer: Optimizer, width: int) -> Rank:
    """`width`: bytes of one element of the weights. All ranks are alike."""
    return _Composed(recording, engine, optimizer, width).told()


class _Composed:
    def __init__(self, recording: Recording, engine: DeepSpeed, optimizer: Optimizer, width: int) -> None:
        self.recording, self.engine, self.optimizer, self.width = recording, engine, optimizer, width
        self.parameters = parameters_of(recording, width)
        self.rewrite = without_optimizer(recording)
        self.host: dict[str, int] = defaultdict(int)

    def part(self, parameter: Parameter) -> int:
        return -(-parameter.elements // self.engine.ranks)

    @cached_property
    def sub_groups(self) -> list[list[int]]:
        """The parts of each sub-group's parameters."""
        found: list[list[int]] = []
        for group in groups_of(self.parameters):
            parts = [self.part(one) for one in group]
            found += [parts] if sum(parts) <= self.engine.buckets.sub_group_size else list(self._cut(parts))
        return found

    def _cut(self, parts: Sequence[int]) -> Iterator[list[int]]:
        together: list[int] = []
        for part in parts:
            together.append(part)
            if sum(together) >= self.engine.buckets.sub_group_size:
                yield together
                together = []
        if together:
            yield together

    def is_persistent(self, parameter: Parameter) -> bool:
        return parameter.elements <= self.engine.buckets.stage3_param_persistence_threshold

    def told(self) -> Rank:
        self._states()
        gathers = _Gathers(self)
        for number, step in enumerate(steps_of(self.recording, self.parameters)):
            for backward in step.backwards:
                self._reduced(backward)
            gathers.follow(number, step)
            if self.engine.offload == "none":
                self._step(step, is_first=number == 0)
            loss_stays(self.rewrite, step)
        return Rank.told(self.rewrite, self.host)

    def _states(self) -> None:
        load, trained = end_of_load(self.recording), sum(map(sum, self.sub_groups))
        self.rewrite.drop(one.storage for one in self.parameters)
        self._partitions(load)
        for parts in self.sub_groups:
            self._hold(load, FLOAT * sum(parts), kinds.MASTER, "float32 weights")
        self._hold(load, self.width * trained, kinds.GRADIENTS, "gradients")
        self.rewrite.born(load, self.width * self.engine.buckets.reduce_bucket_size, kinds.BUCKET)
        if self.engine.offload == "none":
            largest = max(map(sum, self.sub_groups))
            self.rewrite.passes(load, FLOAT * largest, kinds.STEP)  # zero gradients: states are made once before
            return
        self.host["float32 gradients"] += FLOAT * trained
        self.host["optimizer state"] += sum(
            size for parts in self.sub_groups for size in state_bytes(self.optimizer, sum(parts))
        )

    def _hold(self, place: Place, nbytes: int, kind: Kind, what: str) -> None:
        """On the device, or in the host's memory where the optimizer is (DeepSpeedZeroOptimizer_Stage3.device)."""
        if self.engine.offload == "none":
            self.rewrite.born(place, nbytes, kind)
        else:
            self.host[what] += nbytes

    def _partitions(self, place: Place) -> None:
        for parts in self.sub_groups:
            if self.engine.offload == "all":
                self.host["weights"] += self.width * sum(parts)
            else:
                self.rewrite.born(place, self.width * sum(parts), kinds.WEIGHTS)
        for one in self.parameters:
            nbytes = self.part(one) * (1 if one.is_packed else self.width)
            if one.is_trained:
                continue
            if self.engine.offload == "all" and not self.is_persistent(one):
                self.host["weights"] += nbytes
            else:
                self.rewrite.born(place, nbytes, kinds.WEIGHTS)

    def _reduced(self, backward: Backward) -> None:
        size = self.engine.buckets.reduce_bucket_size
        pending: list[int] = []
        large: list[int] = []
        for arrival in backward.arrivals:
            place: Place = (arrival.position, LEAVING)
            if pending and sum(pending) + arrival.parameter.elements > size:
                self._flush(pending, large, place)
            pending.append(arrival.parameter.elements)
            if arrival.parameter.elements <= size:
                self.rewrite.dies(arrival.storage, place)
            else:
                large.append(arrival.storage)
        self._flush(pending, large, (backward.stop, LEAVING))

    def _flush(self, pending: list[int], large: list[int], place: Place) -> None:
        """Empties both."""
        ranks = self.engine.ranks
        padding = [-each % ranks for each in pending]
        if len(pending) > 1 or any(padding):
            flat = sum(pending) + 2 * sum(padding)
            self.rewrite.passes(place, self.width * flat, kinds.BUCKET)
        if self.engine.offload != "none":
            for each in pending:
                self.rewrite.passes(place, DOUBLE * min(-(-each // ranks), NORM_ELEMENTS), kinds.STEP)
        for number in large:
            self.rewrite.dies(number, place)
        pending.clear()
        large.clear()

    def _step(self, step: Step, *, is_first: bool) -> None:
        place: Place = (step.start, ENTERING)
        for parts in self.sub_groups:
            self.rewrite.passes(place, DOUBLE * max(parts), kinds.STEP)
        for parts in self.sub_groups:
            copy = [self.rewrite.born(place, self.width * sum(parts), kinds.STEP)] if len(parts) > 1 else []
            single = self.rewrite.born(place, FLOAT * sum(parts), kinds.STEP)
            for number in copy:
                self.rewrite.dies(number, place)
            if is_first:
                moments_born(self.rewrite, place, self.optimizer, [sum(parts)])
            if self.optimizer.temporaries:
                self.rewrite.passes(place, self.optimizer.temporaries * FLOAT * sum(parts), kinds.STEP)
            self.rewrite.dies(single, place)


class _Gathers:
    """The coordinator, led through the recording's calls; its bytes are born and die where it stands."""

    def __init__(self, composed: _Composed) -> None:
        self._of, self._place, self._is_forward = composed, (0, LEAVING), True
        self._rewrite: Rewrite = composed.rewrite
        self._of_path: dict[Path, list[int]] = defaultdict(list)
        for number, one in enumerate(composed.parameters):
            self._of_path[path_of(one.name, one.block)[:-1]].append(number)
        self._outside = outside_of(composed.parameters)
        trained = (one for one in composed.parameters if one.is_trained)
        self._trained = {path_of(one.name, one.block)[:-1] for one in trained}
        self._is_recomputed = any(name[0] == "checkpoint" for name in composed.recording.kind_names)
        # then the embedding's output has a gradient too: transformers' enable_input_require_grads
        self._on_nodes = frozenset(_on_nodes(composed))
        self._packed: set[int] = set()
        # storages of these, gathered in forward
        self._held: list[int] = []
        # of these, those that were released since: the nodes hold them until the loss is dropped, after the step
        self._by_step: dict[str, list[Segment]] = defaultdict(list)
        for segment in segments(composed.recording):
            self._by_step[segment.label.split("/")[0]].append(segment)
        self._coordinator = Coordinator(self._partitioned(), composed.engine.ranks, composed.engine.buckets, self)

    def _partitioned(self) -> Iterator[Partitioned]:
        for number, one in enumerate(self._of.parameters):
            width = 1 if one.is_packed else self._of.width
            is_persistent, is_frozen = self._of.is_persistent(one), not one.is_trained
            is_offloaded = self._of.engine.offload == "all" and not (is_persistent and is_frozen)
            yield Partitioned(number, one.elements, width, is_persistent, is_frozen, is_offloaded)

    def born(self, nbytes: int, parameter: int | None = None) -> int:
        number = self._rewrite.born(self._place, nbytes, kinds.GATHERED)
        if parameter in self._on_nodes and self._is_forward:
            self._packed.add(number)
        return number

    def dies(self, number: int) -> None:
        if number in self._packed:
            self._held.append(number)
        else:
            self._rewrite.dies(number, self._place)

    def follow(self, number: int, step: Step) -> None:
        of = self._by_step[str(number)]
        for micro, backward in enumerate(step.backwards):
            mine = [segment for segment in of if segment.label.split("/")[1] == str(micro)]
            self._pass(mine, backward)
        self._place = (step.start, ENTERING)
        self._coordinator.drop_all()
        self._place = (step.stop, LEAVING)
        self._coordinator.keep()
        for held in self._held:
            self._rewrite.dies(held, self._place)
        self._held.clear()

    def _pass(self, of: Sequence[Segment], backward: Backward) -> None:
        forward = forward_calls(self._of.recording, [segment for segment in of if segment.phase == "forward"])
        back = [segment for segment in of if segment.phase == "backward"]
        self._place = forward[0].place
        self._coordinator.reset()
        needs = self._needs({call.path for call in forward})
        again = forward if self._is_recomputed else with_gradient(forward, self._trained)
        self._is_forward = True
        self._go(forward, needs)
        if self._of.engine.ranks == 1 and of[0].label.startswith("0/0/"):
            self._copied_once(of, {call.path for call in forward})
        self._is_forward = False
        self._heads_input_stays(of, back[0])
        self._go(backward_calls(self._of.recording, back, again, backward.arrivals), needs)
        self._place = (back[-1].stop, LEAVING)
        self._coordinator.leave()

    def _needs(self, called: Container[Path]) -> dict[Path, list[int]]:
        """What each module asks for: its own parameters, and those of its parts that it reads itself. So a head whose
        loss is fused is never called, and an adapted layer reads its adapter's dtype. A tied head has its weight from
        the embedding."""
        needs = defaultdict(list, {path: list(numbers) for path, numbers in self._of_path.items()})
        for path, numbers in self._of_path.items():
            if path not in called:
                needs[path[:-1]] += numbers
            elif path[-2:-1] == ("lora_A",):
                needs[path[:-2]] += numbers
        for one in () if self._outside.head else self._outside.embedding[:1]:
            path = path_of(one.name, None)[:-1]
            model = path[:-2]
            heads = [head for name in HEADS if (head := (*model, name)) in called]
            needs[heads[0] if heads else model] += self._of_path[path]
        return needs

    def _copied_once(self, of: Sequence[Segment], called: Iterable[Path]) -> None:
        """One rank alone has views of what it fetches. What the loss reads itself is not fetched the first time, but
        gathered, into a copy (parameter_offload.py: ZeROOrderedDict.__getitem__)."""
        if any(path[-1:] == (name,) for path in called for name in HEADS):
            return
        loss = next(segment for segment in of if segment.label.split("/")[2] == "loss")
        for one in (self._outside.head or self._outside.embedding)[:1]:
            number = self._rewrite.born((loss.start, ENTERING), self._of.width * one.elements, kinds.GATHERED)
            self._rewrite.dies(number, (loss.stop, LEAVING))

    def _heads_input_stays(self, of: Sequence[Segment], back: Segment) -> None:
        """Until the head's own backward, though a frozen head does not need it: every product keeps its input
        (linear.py: LinearFunctionForZeroStage3)."""
        recording = self._of.recording
        loss = next(segment for segment in of if segment.label.split("/")[2] == "loss")
        events = recording.events[loss.start : loss.stop]
        head = next((place for place, event in enumerate(events) if event > 0 and _is_heads(recording, event)), None)
        if head is None:
            return
        read = next((event for event in reversed(events[:head]) if event > 0), None)
        if read is not None and -read in events:
            self._rewrite.dies(read, (first_product(recording, back) + 1, ENTERING))

    def _go(self, calls: Iterable[Call], needs: Mapping[Path, Sequence[int]]) -> None:
        for call in calls:
            self._place = call.place
            say = self._coordinator.fetch if call.is_entry else self._coordinator.release
            say(call.path, needs.get(call.path, ()), is_forward=call.is_forward)


def _is_heads(recording: Recording, number: int) -> bool:
    return recording.kind_names[recording.kinds[number - 1]][2].rpartition(".")[2] in HEADS


def _on_nodes(composed: _Composed) -> Iterator[int]:
    """The 4-bit weights that backward makes whole again, as many of a layer's last ones as it makes: bitsandbytes keeps
    the packed weight on its autograd node, and not as a saved tensor, where the input needs a gradient.

    bitsandbytes 0.50  autograd/_functions.py: MatMul4Bit.forward (ctx.tensors)
    """
    recording = composed.recording
    whole: Counter[tuple[int | None, int]] = Counter()
    for segment in segments(recording):
        if segment.phase == "backward" and segment.label.startswith("0/0/"):
            for event in recording.events[segment.start : segment.stop]:
                if event > 0 and "dequantize_4bit" in recording.kind_names[recording.kinds[event - 1]][3]:
                    whole[recording.block_of[event - 1], recording.nbytes[event - 1]] += 1
    for number, one in reversed(list(enumerate(composed.parameters))):
        made = one.block, 2 * composed.width * one.nbytes  # of two weights in a byte
        if one.is_packed and whole[made]:
            whole[made] -= 1
            yield number
