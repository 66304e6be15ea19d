"""Seconds of one call, again and again: by CUDA's events on a GPU, else by the processor's clock.

Knows: the first calls load kernels and wake the device, and are not counted. Short calls are timed many at once, so
that neither clock's own grain is seen. Does not know: what else runs on the machine meanwhile; the middle half of the
runs shows it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import median, quantiles

import torch

from finefit.nouns.calibration import Figure, Unit, What

Call = Callable[[], object]
LEAST, MOST = 5, 200
"""Runs of a figure."""
SHORTEST = 2e-3
"""Seconds of a run: CUDA's events tell half a microsecond."""
WARM = 0.25
"""Of a figure's seconds, before it is timed."""


@dataclass(frozen=True)
class Clock:
    device: str
    seconds: float
    # that a figure may take, about

    def runs_of(self, call: Call) -> list[float]:
        """Seconds of one call in each run."""
        self.run(call, 1)
        count = max(1, ceil(SHORTEST / max(self.run(call, 1), 1e-9)))
        started = time.perf_counter()
        while time.perf_counter() - started < WARM * self.seconds:
            self.run(call, count)
        return self._lasting(call, count, self.seconds)

    def lasting(self, call: Call, seconds: float) -> list[float]:
        """Of the later half of a time in which nothing else ran."""
        count = max(1, ceil(SHORTEST / max(self.run(call, 1), 1e-9)))
        self._lasting(call, count, seconds / 2, most=None)
        return self._lasting(call, count, seconds / 2, most=None)

    def _lasting(self, call: Call, count: int, seconds: float, most: int | None = MOST) -> list[float]:
        started, found = time.perf_counter(), list[float]()
        while len(found) < LEAST or (time.perf_counter() - started < seconds and (most is None or len(found) < most)):
            found.append(self.run(call, count))
        return found

    def run(self, call: Call, count: int) -> float:
        """Seconds of one of so many calls, one behind another."""
        if self.device != "cuda":
            started = time.perf_counter()
            for _ in range(count):
                call()
            return (time.perf_counter() - started) / count
        begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begun.record()
        for _ in range(count):
            call()
        ended.record()
        ended.synchronize()
        return begun.elapsed_time(ended) / 1000 / count


def rate(what: What, of: str, unit: Unit, amount: float, seconds: Sequence[float]) -> Figure:
    """`amount`: of operations or bytes of one call."""
    return figure(what, of, unit, [amount / one for one in seconds])


def figure(what: What, of: str, unit: Unit, values: Sequence[float]) -> Figure:
    first, _, third = quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
    return Figure(what, of, unit, median(values), first, third, len(values))
