"""Measures a run on a GPU with the counters of CUDA's caching allocator, phase by phase.

Knows: the highest allocated bytes between two phases, the highest reserved bytes, and what the driver says this
process holds. Does not know: which tensor the bytes belong to; `worker.recorder` does, on a processor.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch

from .stage import Stage

PHASES = ("load", "forward", "reference", "backward", "optimizer", "resident", "evaluation")


class Counters(Protocol):
    def allocated_peak(self) -> int:
        """The highest allocated bytes since the last `reset`."""

    def reserved_peak(self) -> int:
        """The highest reserved bytes since the last `reset`."""

    def reset(self) -> None:
        """Peaks start again from what is held now."""

    def release_cache(self) -> None:
        """Gives back reserved memory that nothing uses."""

    def device_bytes(self) -> int | None:
        """What the driver says this process holds, or None where it does not say."""


class AllocatorStage(Stage):
    """Keeps the highest bytes of each phase over all steps."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._phase = "load"
        self._peaks: dict[str, int] = {}
        self._reserved = 0
        self._device: int | None = None
        self._has_passed = False
        # what is trained, through this micro-batch

    def begin(self, trainer: Any) -> None:
        if not getattr(trainer, "precompute_ref_logps", True):  # TRL's trainer of preferences asks a model
            self._watch_reference(trainer.model, trainer.ref_model)
        self.phase("resident")

    def phase(self, name: str) -> None:
        self._close_phase()
        self._phase = name

    def _watch_reference(self, trained: Any, copy: Any) -> None:
        """Asked after what is trained has passed: a frozen copy, or the same model again."""

        def before() -> None:
            if self._phase == "forward" and self._has_passed:
                self.phase("reference")

        def after() -> None:
            self._has_passed = self._phase == "forward"
            if self._phase == "reference":
                self.phase("forward")  # to its end: the loss

        for model in (trained, *([] if copy is None else [copy])):
            model.register_forward_pre_hook(lambda _m, _a: before())
            model.register_forward_hook(lambda _m, _a, _said: after())

    def end_step(self, trainer: Any) -> None:
        self._read_device()

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        before = self._phase
        self.phase("evaluation")
        yield
        self.phase(before)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """What happens inside (evaluating, saving) is not part of the phase around it."""
        self._close_phase()
        yield
        self._counters.release_cache()
        self._counters.reset()

    def measured(self) -> dict[str, Any]:
        """Of this process, so far."""
        self._close_phase()
        self._read_device()
        return {
            "kind": "allocator",
            "phases": {name: self._peaks[name] for name in PHASES if name in self._peaks},
            "peak_bytes": self.peak_bytes,
            "reserved_bytes": self._reserved,
            "device_bytes": self._device,
        }

    @property
    def peak_bytes(self) -> int:
        return max(self._peaks.values(), default=0)

    def _close_phase(self) -> None:
        self._peaks[self._phase] = max(self._peaks.get(self._phase, 0), self._counters.allocated_peak())
        self._reserved = max(self._reserved, self._counters.reserved_peak())
        self._counters.reset()

    def _read_device(self) -> None:
        held = self._counters.device_bytes()
        if held is not None:
            self._device = max(self._device or 0, held)


class CudaCounters:
    """Of the first GPU that this process sees."""

    def __init__(self) -> None:
        self._handle = _driver_handle()

    def allocated_peak(self) -> int:
        return torch.cuda.max_memory_allocated()

    def reserved_peak(self) -> int:
        return torch.cuda.max_memory_reserved()

    def reset(self) -> None:
        torch.cuda.reset_peak_memory_stats()

    def release_cache(self) -> None:
        torch.cuda.empty_cache()

    def device_bytes(self) -> int | None:
        """NVML's number for this process; inside a container NVML may know it by another id, or not say."""
        if self._handle is None:
            return None
        import pynvml

        try:
            processes = pynvml.nvmlDeviceGetComputeRunningProcesses(self._handle)
        except pynvml.NVMLError:
            return None
        mine = [p for p in processes if p.pid == os.getpid()]
        if not mine and len(processes) == 1:
            mine = processes  # the card has one user, under the id it bears outside this container
        held = mine[0].usedGpuMemory if mine else None
        return None if held is None else int(held)


def _driver_handle() -> Any:
    """NVML counts all GPUs, torch those it may see: the UUID tells which is meant."""
    try:
        import pynvml

        pynvml.nvmlInit()
        return pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(0).uuid}")
    except Exception:  # no driver library, no such card, a slice of a card: device bytes stay unknown
        return None
