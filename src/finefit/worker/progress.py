"""How far a run is, how fast, and with how much memory: the `step` events.

Time is training time alone: evaluating and saving stop the clock. Tokens are real ones, padding not counted. Both
go on from where a resumed run had stopped.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psutil

from .rewards import rewards_of
from .stage import RECORDED_STEPS

MemoryReader = Callable[[], dict[str, Any]]
"""Gives memory_bytes, memory_kind and peak_bytes of a step event."""


@dataclass(frozen=True)
class Lap:
    """What lies between two reports."""

    steps: int
    tokens: int
    seconds: float


class Progress:
    def __init__(self, memory: MemoryReader) -> None:
        self.tokens = 0
        self.seconds = 0.0
        self._memory = memory
        self._peak = 0
        self._started: float | None = None
        self._last = (0, 0, 0.0)
        # step, tokens, seconds at the last report
        self._laps: list[Lap] = []

    def restore(self, step: int, tokens: int, seconds: float) -> None:
        self.tokens, self.seconds = tokens, seconds
        self._last = (step, tokens, seconds)

    def start(self) -> None:
        self._started = time.perf_counter()

    def stop(self) -> None:
        if self._started is not None:
            self.seconds += time.perf_counter() - self._started
            self._started = None

    @contextmanager
    def paused(self) -> Iterator[None]:
        was_running = self._started is not None
        self.stop()
        yield
        if was_running:
            self.start()

    def count(self, batches: list[dict[str, Any]]) -> None:
        self.tokens += sum(tokens_of(batch) for batch in batches)

    def report(self, state: Any, logs: dict[str, Any]) -> dict[str, Any]:
        """A `step` event's values; `logs` are the trainer's."""
        with self.paused():
            lap = self._lap(state.global_step)
            return {
                "step": state.global_step,
                "steps": state.max_steps,
                "epoch": state.epoch,
                "loss": logs["loss"],
                **({"rewards": rewards} if (rewards := rewards_of(logs)) else {}),
                "grad_norm": logs.get("grad_norm"),
                "learning_rate": logs.get("learning_rate"),
                "tokens": self.tokens,
                "tokens_per_second": lap.tokens / lap.seconds if lap.seconds else None,
                "seconds": lap.seconds,
                "seconds_left": self._seconds_left(state.max_steps - state.global_step),
                **self.memory_now(),
            }

    def memory_now(self) -> dict[str, Any]:
        """The system may tell its peak late, or a little lower than before."""
        now = self._memory()
        self._peak = max(self._peak, now["peak_bytes"], now["memory_bytes"])
        return {**now, "peak_bytes": self._peak}

    def _lap(self, step: int) -> Lap:
        before = self._last
        self._last = (step, self.tokens, self.seconds)
        lap = Lap(step - before[0], self.tokens - before[1], self.seconds - before[2])
        self._laps.append(lap)
        return lap

    def _seconds_left(self, steps: int) -> float:
        """At the pace so far, without the first steps, which warm up and may be recorded."""
        laps = self._laps[RECORDED_STEPS:] or self._laps[-1:]
        return steps * sum(lap.seconds for lap in laps) / max(1, sum(lap.steps for lap in laps))


def tokens_of(batch: dict[str, Any]) -> int:
    """Without padding: where rows are flattened, there is none, nor a mask."""
    mask = batch.get("attention_mask")
    return int(batch["input_ids"].numel() if mask is None else mask.sum())


def resident_memory() -> dict[str, Any]:
    """Of this process, as the system sees it."""
    now = psutil.Process().memory_info().rss
    return {"memory_bytes": now, "memory_kind": "rss", "peak_bytes": resident_peak()}


def resident_peak() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # bytes there, KiB elsewhere: getrusage(2)
