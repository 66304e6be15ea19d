"""Which parameters ZeRO 3 has gathered after each call of a module: DeepSpeed's coordinator, call by call.

    deepspeed 0.19  runtime/zero/partitioned_param_coordinator.py
        fetch_sub_module      gathers what a module needs, then what comes next, up to stage3_prefetch_bucket_size at a
                              time and stage3_max_live_parameters in all
        release_sub_module    drops what is not used again within stage3_max_reuse_distance
        reset_step            the first pass is written down, later ones are known
        trace_prologue        a pass that goes another way is not: the next one is written down anew
        update_recompute_parameters, release_backward_leftovers   frozen parameters stay for their recomputation
                    runtime/zero/partition_parameters.py
        _all_gather_sequential   one parameter: its buffer is the parameter
        _all_gather_dtype        several: a flat buffer, copied out at the first wait, and kept until the last

Held against recorded calls of real runs. Does not know: streams (memory is taken in the host's order), NVMe, secondary
partitions, quantised weights on the wire.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from math import inf
from typing import Protocol

from finefit.nouns.engine import Buckets

from .calls import Path

NEVER = -(10**10)


class Memory(Protocol):
    """Where gathered bytes live."""

    def born(self, nbytes: int, parameter: int | None = None) -> int:
        """`parameter`: whose buffer it is; None is a buffer of several."""
        ...

    def dies(self, number: int) -> None: ...


@dataclass(frozen=True)
class Partitioned:
    """A parameter that is divided among the ranks."""

    number: int
    elements: int
    width: int
    # bytes of an element
    is_persistent: bool
    is_frozen: bool
    is_offloaded: bool = False

    def whole_bytes(self, ranks: int) -> int:
        """Padded to the ranks."""
        return -(-self.elements // ranks) * ranks * self.width


@dataclass
class _Flight:
    """A gather that is under way."""

    flat: int | None
    # the buffer of several
    waiting: set[int]
    is_done: bool = False


@dataclass
class _Trace:
    """What the coordinator wrote down of one pass."""

    modules: list[Path] = field(default_factory=list)
    needs: dict[Path, tuple[int, ...]] = field(default_factory=dict)
    order: list[tuple[int, int]] = field(default_factory=list)
    # (parameter, the step that uses it)
    uses: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    # of each parameter, its steps
    passed: list[int] = field(default_factory=list)
    # elements needed before each step
    is_complete: bool = False

    def finish(self, elements: Mapping[int, int]) -> None:
        """`elements`: of each parameter."""
        self.order = [(number, step) for step, path in enumerate(self.modules) for number in self.needs[path]]
        for number, step in self.order:
            self.uses[number].append(step)
        sizes = (sum(elements[number] for number in self.needs[path]) for path in self.modules)
        self.passed = [0, *accumulate(sizes)]
        self.is_complete = True

    def calls(self, path: Path, step: int) -> bool:
        """Whether this module is the one that it knows of there."""
        return step < len(self.modules) and self.modules[step] == path

    def distance(self, number: int, step: int) -> float:
        """Elements that modules need from a step on, before one needs this parameter."""
        uses = self.uses[number]
        place = bisect_left(uses, step)
        return self.passed[uses[place]] - self.passed[step] if place < len(uses) else inf


class Coordinator:
    def __init__(self, parameters: Iterable[Partitioned], ranks: int, buckets: Buckets, memory: Memory) -> None:
        self._of = {one.number: one for one in parameters}
        self._ranks, self._buckets, self._memory = ranks, buckets, memory
        self._here: dict[int, int | None] = {}
        # gathered parameters, and their storage; None for one rank, whose part is the whole
        self._flights: dict[int, _Flight] = {}
        self._active: dict[int, set[Path]] = defaultdict(set)
        self._backward: dict[Path, tuple[int, ...]] = {}
        self._again: dict[Path, set[int]] = defaultdict(set)
        self._trace: _Trace | None = None
        self._released: dict[tuple[Path, int], set[int]] = {}
        self._begin()

    def _begin(self) -> None:
        self._queue = deque(self._trace.order if self._trace is not None and self._trace.is_complete else ())
        self._used: dict[int, int] = defaultdict(lambda: NEVER)
        self._step = 0
        self._available = 0

    @property
    def _knows(self) -> bool:
        return self._trace is not None and self._trace.is_complete

    def reset(self) -> None:
        """A forward pass begins."""
        self._land()
        if self._trace is None:
            self._trace = _Trace()
        elif not self._trace.is_complete:
            self._trace.finish({number: one.elements for number, one in self._of.items()})
        self._begin()

    def _forget(self) -> None:
        self._trace = None
        self._queue.clear()
        self._used.clear()
        self._land()

    def _land(self) -> None:
        """What is under way arrives, and goes where nothing runs that needs it."""
        for number in list(self._flights):
            if number in self._flights:
                self._wait(number)
            self._free(number)

    def fetch(self, path: Path, needs: Sequence[int], *, is_forward: bool) -> None:
        if not is_forward:
            self._backward[path] = tuple(needs)
        if self._trace is not None and self._trace.is_complete and not self._trace.calls(path, self._step):
            self._forget()
        if self._trace is not None and not self._trace.is_complete:
            self._trace.modules.append(path)
            self._trace.needs[path] = tuple(sorted(needs))
        self._gather(number for number in needs if not self._is_there(number))
        for number in needs:
            self._active[number].add(path)
            if is_forward and self._backward and self._of[number].is_frozen:
                owner = next(reversed(self._backward))
                self._again[owner].add(number)
                self._active[number].add(owner)
            if number in self._flights:
                self._wait(number)
        if self._knows:
            self._prefetch(needs)
        self._step += 1

    def release(self, path: Path, needs: Sequence[int], *, is_forward: bool) -> None:
        going = self._no_longer_used(path, needs) if self._knows else set(needs)
        held: list[int] = list(needs)
        if not is_forward:
            more = self._again.pop(path, set())
            going |= {number for number in more if not self._of[number].is_persistent}
            held = list(dict.fromkeys([*held, *sorted(more)]))
            self._backward.pop(path, None)
        for number in held:
            self._active[number].discard(path)
            if number in going:
                self._free(number)

    def leave(self) -> None:
        """Backward is over: modules whose input needs no gradient are told only now."""
        for path, needs in reversed(list(self._backward.items())):
            for number in sorted({*needs, *self._again.pop(path, set())}):
                self._active[number].discard(path)
                if not self._of[number].is_persistent:
                    self._free(number)
        self._backward = {}

    def drop_all(self) -> None:
        """Before the optimizer's step."""
        self._backward = {}
        self._again.clear()
        for number in self._of:
            self._active[number].clear()
            self._free(number)

    def keep(self) -> None:
        """After the step: persistent parameters are gathered at once, each by itself."""
        for number, one in self._of.items():
            if one.is_persistent and not self._is_there(number):
                self._here[number] = self._new(one.whole_bytes(self._ranks), number)

    def _is_there(self, number: int) -> bool:
        return number in self._here or number in self._flights

    def _new(self, nbytes: int, parameter: int | None = None) -> int | None:
        """Of one rank the part is the whole, unless it must come from the host first."""
        if self._ranks == 1 and not (parameter is not None and self._of[parameter].is_offloaded):
            return None
        return self._memory.born(nbytes, parameter)

    def _gather(self, wanted: Iterable[int]) -> None:
        numbers = sorted(set(wanted))
        self._available += sum(self._of[number].elements for number in numbers)
        if self._ranks > 1 and len(numbers) > 1:
            together = sum(self._of[number].whole_bytes(self._ranks) for number in numbers)
            flight = _Flight(self._new(together), set(numbers))
            self._flights |= dict.fromkeys(numbers, flight)
            return
        for number in numbers:
            self._here[number] = self._new(self._of[number].whole_bytes(self._ranks), number)
            self._flights[number] = _Flight(None, {number}, is_done=True)

    def _wait(self, number: int) -> None:
        flight = self._flights[number]
        if not flight.is_done:
            for each in sorted(flight.waiting):
                self._here[each] = self._new(self._of[each].elements * self._of[each].width, each)
            flight.is_done = True
        flight.waiting.discard(number)
        if not flight.waiting and flight.flat is not None:
            self._memory.dies(flight.flat)
        del self._flights[number]

    def _free(self, number: int) -> None:
        if number not in self._here or number in self._flights or self._active[number]:
            return
        storage = self._here.pop(number)
        if storage is not None:
            self._memory.dies(storage)
        self._available -= self._of[number].elements

    def _prefetch(self, needs: Collection[int]) -> None:
        self._pass_by(needs)
        room = min(
            self._buckets.stage3_max_live_parameters - self._available, self._buckets.stage3_prefetch_bucket_size
        )
        ahead: set[int] = set()
        elements = 0
        while self._queue and elements < room:
            number, step = self._queue.popleft()
            self._used[number] = max(self._used[number], step)
            if not self._is_there(number) and number not in ahead:
                ahead.add(number)
                elements += self._of[number].elements
        if elements:
            self._gather(ahead)

    def _pass_by(self, needs: Collection[int]) -> None:
        """What this module needs stands at the front of the queue."""
        fresh = {number for number in needs if self._used[number] < self._step}
        seen: set[int] = set()
        while self._queue and len(seen) < len(fresh):
            number, step = self._queue.popleft()
            self._used[number] = step
            seen.add(number)

    def _no_longer_used(self, path: Path, needs: Sequence[int]) -> set[int]:
        key = (path, self._step)
        if key not in self._released:
            self._released[key] = self._unused(needs)
        return set(self._released[key])

    def _unused(self, needs: Sequence[int]) -> set[int]:
        assert self._trace is not None
        far = self._buckets.stage3_max_reuse_distance
        return {
            number
            for number in needs
            if not self._of[number].is_persistent
            and self._used[number] <= self._step
            and self._trace.distance(number, self._step) >= far
        }
