"""Predicted beside measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class PhaseGap:
    phase: str
    predicted_bytes: int
    measured_bytes: int

    @property
    def gap_percent(self) -> float:
        """Predicted minus measured, in percent of measured."""
        return 100 * (self.predicted_bytes - self.measured_bytes) / self.measured_bytes


@dataclass(frozen=True)
class RangeGap:
    """A range that was predicted, and what was measured; None where it was not."""

    low_bytes: int
    typical_bytes: int
    high_bytes: int
    measured_bytes: int | None

    @property
    def is_inside(self) -> bool | None:
        return None if self.measured_bytes is None else self.low_bytes <= self.measured_bytes <= self.high_bytes


@dataclass(frozen=True)
class TimeGap:
    """Seconds of an optimizer step, over the whole run: what was predicted, and what was measured."""

    low: float
    predicted: float
    high: float
    measured: float
    steady_steps: int = 0
    # that were measured, without the first ones, which load kernels; none: the run had no others

    @property
    def is_inside(self) -> bool:
        return self.low <= self.measured <= self.high


@dataclass(frozen=True)
class Receipt:
    run: str
    model: str
    method: str
    machine: str
    phases: tuple[PhaseGap, ...]
    peak: PhaseGap | None
    # None where no peak was measured: several processes of a processor
    measured_by: str
    # `recorder` (births and deaths of real tensors in one real step), `allocator` (CUDA's own counters), or `ranks`
    # (what each holds between two steps)
    rss_peak_bytes: int
    # of the worker process
    device_peak_bytes: int | None
    # what NVML showed, on a GPU
    train_loss_first: float | None
    train_loss_last: float | None
    eval_loss_before: float | None
    eval_loss_after: float | None
    steps: int
    train_seconds: float
    tokens_per_second: float
    # real tokens (padding not counted), over the training steps
    stack: Mapping[str, str]
    seed: int
    hashes: Mapping[str, str]
    # sha256 of job, data, model configuration and adapter
    notes: tuple[str, ...] = ()
    reserved: RangeGap | None = None
    # what the allocator took from the driver; None on a processor, and in receipts from before it was predicted
    device: RangeGap | None = None
    # what NVML showed for the process
    rows: int | None = None
    # trained on; None in receipts from before rows could be left out
    rows_left_out: int = 0
    # bad ones, of those to train on and those to measure by
    step: TimeGap | None = None
    # None on a processor, on a card of unknown rates, and in receipts from before it was predicted
    preferred: float | None = None
    # of held-out pairs, the share whose chosen answer has become more likely than the rejected one, beside what the
    # reference says (TRL's `rewards/accuracies`); None where no preferences were trained
    held: tuple[PhaseGap, ...] = ()
    # between two steps, by the rank that has most: each kind of the model's state, and all together; nothing where one
    # process ran
    ranks: tuple[Mapping[str, int], ...] = ()
    # what each of them held, kind by kind
