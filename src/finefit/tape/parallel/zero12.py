"""DeepSpeed's ZeRO 1 and 2: gradients are averaged in buckets, and each rank steps its part of the flat parameters.

    deepspeed 0.19  runtime/zero/stage_1_and_2.py
        __init__                                          flat parameters (bit16_groups_flat), a float32 copy of a part;
                                                          a group is flattened on the GPU where there is room for both
        reduce_independent_p_g_buckets_and_remove_grads   a gradient that fits becomes a view of the bucket
        setup_buckets, _release_ipg_buffers               the bucket lives for one backward pass; twice where overlapped
        allreduce_bucket, flatten                         a flat copy of a bucket that is of several owners
        copy_grads_in_partition                           grads_in_partition: parameters that overlap the part, whole
        reduce_ipg_grads                                  stage 1 leaves gradients of other ranks where they are
        step, get_grad_norm_direct                        group after group; norms of own slices in float64
        initialize_optimizer_states, temp_grad_buffer_for_gpu_offload, async_accumulate_grad_in_cpu_via_gpu   offload

Held against real runs of 1, 2 and 4 processes. Does not know: communication streams, which delay reuse; an accumulation
of gradients in float32, which a configuration must ask for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from finefit.catalog.optimizers import Optimizer, state_bytes
from finefit.nouns.engine import DeepSpeed
from finefit.nouns.recording import Recording
from finefit.tape.rewrite import ENTERING, LEAVING, Place

from . import states as kinds
from .flat import Flat
from .parameters import Arrival, Backward, Parameter, Step, groups_of, parameters_of, steps_of
from .states import DOUBLE, FLOAT, Rank, end_of_load, loss_stays, moments_born, without_optimizer


def compose(
    recording: Recording,
    engine: DeepSpeed,
    optimizer: Optimizer,
    width: int,
    rank: int | None = None,
    vram_bytes: int | None = None,
) -> Rank:
    """`width`: bytes of one element of the weights; `rank`: None is the one that keeps most; `vram_bytes`: of the GPU,
    None where it has room for everything."""
    parameters = parameters_of(recording, width)
    flats = [Flat(group, engine.ranks) for group in groups_of(parameters)]
    if rank is None:
        rank = max(range(engine.ranks), key=lambda one: _kept(flats, one, engine))
    composed = _Composed(recording, engine, optimizer, width, flats, rank)
    composed.room = None if vram_bytes is None else vram_bytes - sum(one.nbytes for one in parameters)
    return composed.told(steps_of(recording, parameters))


def _kept(flats: Sequence[Flat], rank: int, engine: DeepSpeed) -> int:
    """Elements of gradients that a rank has at the end of backward."""
    own = _overlapping(flats, rank)
    if engine.stage == 2:
        return own
    large = engine.buckets.reduce_bucket_size
    return own + sum(
        one.elements
        for flat in flats
        for one in flat.group
        if one.elements > large and all(owner != rank for owner, _ in flat.owners[one.storage])
    )


def _overlapping(flats: Sequence[Flat], rank: int) -> int:
    return sum(one.elements for flat in flats for one in flat.of(rank))


class _Composed:
    def __init__(
        self, recording: Recording, engine: DeepSpeed, optimizer: Optimizer, width: int, flats: list[Flat], rank: int
    ) -> None:
        self.engine, self.optimizer, self.width, self.flats, self.rank = engine, optimizer, width, flats, rank
        self.rewrite = without_optimizer(recording)
        self.owners = {storage: of for flat in flats for storage, of in flat.owners.items()}
        self.own_bytes = width * _overlapping(flats, rank)
        self.load = end_of_load(recording)
        self.host: dict[str, int] = {}
        self.room: int | None = None
        # bytes beside all weights; None: enough
        self.offloads = engine.offload != "none"  # parameters are not offloaded in these stages: DeepSpeed ignores it

    def told(self, steps: Sequence[Step]) -> Rank:
        self._states()
        if self.offloads and self.engine.stage == 2 and any(len(step.backwards) > 1 for step in steps):
            self.host["gradients of micro-batches"] = self.own_bytes
        for number, step in enumerate(steps):
            held = self._backwards(step)
            if not self.offloads:
                self._step(step, number == 0, held)
            loss_stays(self.rewrite, step)
        return Rank.told(self.rewrite, self.host)

    def _states(self) -> None:
        parts = [flat.part for flat in self.flats]
        for flat in self.flats:
            self._flatten(flat)
        if self.offloads:
            self._offloaded(sum(parts), max(one.elements for flat in self.flats for one in flat.group))
            return
        for part in parts:
            self.rewrite.born(self.load, FLOAT * part, kinds.MASTER)
        for part in parts:
            self.rewrite.passes(
                self.load, FLOAT * part, kinds.STEP
            )  # zero gradients: states are made before the first step

    def _flatten(self, flat: Flat) -> None:
        """Beside the parameters that it replaces; or, without room for both, after they went to the host."""
        nbytes = self.width * flat.elements
        if self.room is None or self.room >= nbytes:
            self.rewrite.born(self.load, nbytes, kinds.WEIGHTS)
        for parameter in flat.group:
            self.rewrite.dies(parameter.storage, self.load)
        if self.room is not None and self.room < nbytes:
            self.rewrite.born(self.load, nbytes, kinds.WEIGHTS)

    def _offloaded(self, part: int, largest: int) -> None:
        self.rewrite.born(self.load, self.width * largest, kinds.BUCKET)
        self.host = {
            "float32 weights": FLOAT * part,
            "optimizer state": sum(size for flat in self.flats for size in state_bytes(self.optimizer, flat.part)),
            "float32 gradients": FLOAT * part,
            "weights on their way": self.width * part,
            "gradients on their way": self.width * largest,
        }

    def _backwards(self, step: Step) -> list[int]:
        """The gradients that are left for the step."""
        first, last = step.backwards[0], step.backwards[-1]
        if self.engine.stage == 2:
            sums = [self._reduced(each, each.arrivals, is_first=each is first) for each in step.backwards]
            return sums[0]
        kept = {arrival.parameter.storage: arrival.storage for arrival in first.arrivals}
        places = {arrival.parameter.storage: arrival.position for arrival in last.arrivals}
        if not self.engine.buckets.overlap_comm:  # when backward is over, in the order of the groups
            places = {one.storage: last.stop for flat in self.flats for one in flat.group if one.storage in places}
        parameters = {arrival.parameter.storage: arrival.parameter for arrival in last.arrivals}
        of_sums = [Arrival(place, kept[one], parameters[one]) for one, place in places.items()]
        return self._reduced(last, of_sums, is_first=True, buckets=self._bucket(first))

    def _bucket(self, backward: Backward) -> list[int]:
        """Made for the first gradient."""
        place: Place = (min(arrival.position for arrival in backward.arrivals), LEAVING)
        nbytes = self.width * self.engine.buckets.reduce_bucket_size
        return [self.rewrite.born(place, nbytes, kinds.BUCKET) for _ in range(1 + self.engine.buckets.overlap_comm)]

    def _reduced(
        self, backward: Backward, arrivals: Sequence[Arrival], *, is_first: bool, buckets: list[int] | None = None
    ) -> list[int]:
        """One backward pass. Returns the gradients it leaves: a further micro-batch's are added, and go."""
        end: Place = (backward.stop, LEAVING)
        reduction = _Reduction(self, buckets or self._bucket(backward))
        for arrival in arrivals:
            reduction.take(arrival)
        reduction.flush(end)
        for number in (*reduction.left, *reduction.buckets, *(() if is_first else reduction.kept)):
            self.rewrite.dies(number, end)
        return reduction.kept

    def _step(self, step: Step, is_first: bool, gradients: Sequence[int]) -> None:
        place: Place = (step.start, ENTERING)
        own = [n for flat in self.flats for of in flat.owners.values() for rank, n in of if rank == self.rank]
        self.rewrite.passes(place, DOUBLE * max(own), kinds.STEP)
        for flat in self.flats:
            one = flat is self.flats[-1]
            copy = [self.rewrite.born(place, self.width * flat.part, kinds.STEP)] if flat.pieces(self.rank) > 1 else []
            single = self.rewrite.born(place, FLOAT * flat.part, kinds.STEP)
            for number in (*copy, *(gradients if one else ())):
                self.rewrite.dies(number, place)
            if is_first:
                moments_born(self.rewrite, place, self.optimizer, [flat.part])
            self._temporaries(place, flat)
            self.rewrite.dies(single, place)

    def _temporaries(self, place: Place, flat: Flat) -> None:
        if self.optimizer.temporaries:
            self.rewrite.passes(place, self.optimizer.temporaries * FLOAT * flat.part, kinds.STEP)


class _Reduction:
    """The bucket of one backward pass."""

    def __init__(self, composed: _Composed, buckets: list[int]) -> None:
        self._of, self.buckets = composed, buckets
        self._pending: list[Arrival] = []
        self._elements = 0
        self.kept: list[int] = []
        # grads_in_partition
        self.left: list[int] = []
        # gradients that stay where they are to the end of the pass

    def take(self, arrival: Arrival) -> None:
        place: Place = (arrival.position, LEAVING)
        size = self._of.engine.buckets.reduce_bucket_size
        if self._elements + arrival.parameter.elements > size:
            self.flush(place)
        if arrival.parameter.elements <= size:
            self._of.rewrite.dies(arrival.storage, place)
        elif self._of.offloads:
            arrival = self._cloned(arrival, place)
        self._pending.append(arrival)
        self._elements += arrival.parameter.elements

    def flush(self, place: Place) -> None:
        for nbytes in self._flattened():
            self._of.rewrite.passes(place, nbytes, kinds.BUCKET)
        mine = [arrival for arrival in self._pending if self._is_mine(arrival.parameter)]
        if self._of.offloads:
            for arrival in mine:
                self._of.rewrite.passes(place, DOUBLE * self._own_slice(arrival.parameter), kinds.STEP)
        elif mine and not self.kept:
            self.kept.append(self._of.rewrite.born(place, self._of.own_bytes, kinds.GRADIENTS))
        self._drop_large(place)
        self._pending, self._elements = [], 0

    def _drop_large(self, place: Place) -> None:
        for arrival in self._pending:
            if arrival.parameter.elements <= self._of.engine.buckets.reduce_bucket_size:
                continue
            if self._of.engine.stage == 1 and not self._is_mine(arrival.parameter):
                self.left.append(arrival.storage)
            else:
                self._of.rewrite.dies(arrival.storage, place)

    def _cloned(self, arrival: Arrival, place: Place) -> Arrival:
        """Beside an offloaded optimizer a gradient larger than the bucket is a clone of what backward made."""
        clone = self._of.rewrite.born(place, self._of.width * arrival.parameter.elements, kinds.GRADIENTS)
        self._of.rewrite.dies(arrival.storage, place)
        return replace(arrival, storage=clone)

    def _flattened(self) -> list[int]:
        """Flat copies: runs of slices of one owner, together as long as they fit, where they are several."""
        runs: list[list[int]] = []
        for arrival in self._pending:
            for rank, elements in self._of.owners[arrival.parameter.storage]:
                if runs and runs[-1][0] == rank:
                    runs[-1][1] += elements
                else:
                    runs.append([rank, elements])
        chunks: list[list[int]] = [[]]
        for _, elements in runs:
            chunks[-1].append(elements)
            if sum(chunks[-1]) > self._of.engine.buckets.reduce_bucket_size:
                chunks.append([])
        return [self._of.width * sum(chunk) for chunk in chunks if len(chunk) > 1]

    def _is_mine(self, parameter: Parameter) -> bool:
        return any(rank == self._of.rank for rank, _ in self._of.owners[parameter.storage])

    def _own_slice(self, parameter: Parameter) -> int:
        return max((n for rank, n in self._of.owners[parameter.storage] if rank == self._of.rank), default=0)
