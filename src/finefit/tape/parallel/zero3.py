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

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property

from finefit.catalog.optimizers import Optimizer, state_bytes
from finefit.nouns.engine import DeepSpeed
from finefit.nouns.recording import Recording
from finefit.tape.peaks import Kind
from finefit.tape.rewrite import ENTERING, LEAVING, Place

from . import states as kinds
from .gathers import Gathers, is_persistent
from .parameters import Backward, Parameter, Step, groups_of, parameters_of, steps_of
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
        self.copied = parameters_of(recording, width, of_copy=True)
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

    def told(self) -> Rank:
        self._states()
        gathers = Gathers(self.recording, self.rewrite, self.engine, self.parameters, self.copied, self.width)
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
        self.rewrite.drop(one.storage for one in (*self.parameters, *self.copied))
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
        frozen = [one for one in self.parameters if not one.is_trained]
        for of, kind, what in ((frozen, kinds.WEIGHTS, "weights"), (self.copied, kinds.COPY, "weights of the copy")):
            for one in of:
                nbytes = self.part(one) * (1 if one.is_packed else self.width)
                if self.engine.offload == "all" and not is_persistent(one, self.engine):
                    self.host[what] += nbytes
                else:
                    self.rewrite.born(place, nbytes, kind)

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
