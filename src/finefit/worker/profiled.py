"""Optimizer steps under torch's profiler, and on a GPU the allocator's history of them.

Orders: profile (first, last), where steps are profiled at all; a run without has no callback of it. The profiler is
what accelerate's `ProfileKwargs` builds (1.15); its trace is Chrome's JSON, which Perfetto reads. The history is
torch's memory snapshot, a pickle for its own viewer (pytorch.org/memory_viz); it is written, and read by nobody here.

Knows: the steps of this process; a resumed run profiles those of the range that are left, and none past it. Does not
know: the making of a batch, which comes before its step. What stands between two profiled steps (an evaluation, a
checkpoint) is in the trace. A run that is stopped in the range keeps what it has; one that dies there keeps nothing.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import ProfileKwargs
from torch.profiler import record_function
from transformers import TrainerCallback

from .events import Events
from .progress import Progress

FOLDER = "profile"
"""In a run's folder."""
MOST_ENTRIES = 1_000_000
"""Of the allocator's history: the newest ones. Chosen: some hundred steps of a large model."""
OWN_MEMORY = {
    True: "its own memory is not the allocator's, and may be in what the driver shows",
    False: "its own memory is in the process's, and in no tensor's; a memory snapshot is CUDA's: a processor has none",
}
"""Of the profiler, on a GPU or not."""


def profilers(run: Path, orders: dict[str, Any], events: Events, progress: Progress, rank: int = 0) -> list[Any]:
    """One callback, or none where nothing is profiled."""
    asked = orders.get("profile")
    if asked is None:
        return []
    return [Profiler(run, asked["first"], asked["last"], orders["device"] == "cuda", events, progress, rank)]


class Profiler(TrainerCallback):
    """`rank`: each writes its own files."""

    def __init__(
        self, run: Path, first: int, last: int, on_gpu: bool, events: Events, progress: Progress, rank: int
    ) -> None:
        self._run, self._rank = run, rank
        self._first, self._last = first, last
        self._on_gpu = on_gpu
        self._events, self._progress = events, progress
        self._began = 0
        self._profile: Any = None
        self._step: Any = None

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        step = state.global_step + 1
        if not self._first <= step <= self._last:
            return
        if self._profile is None:
            self._start(step)
        self._step = record_function(f"optimizer step {step}")
        self._step.__enter__()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._step is None:
            return
        self._step.__exit__(None, None, None)
        self._step = None
        if state.global_step >= self._last:
            self._write(state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._profile is not None:
            self._write(state.global_step)

    def _start(self, step: int) -> None:
        with self._progress.paused():
            self._began = step
            if self._on_gpu:
                torch.cuda.memory._record_memory_history(max_entries=MOST_ENTRIES, stacks="python")
            self._profile = ProfileKwargs(record_shapes=True, profile_memory=True).build()
            self._profile.start()

    def _write(self, step: int) -> None:
        with self._progress.paused():
            self._profile.stop()
            folder = self._run / FOLDER
            folder.mkdir(exist_ok=True)
            steps = f"steps-{self._began}-{step}" if step > self._began else f"step-{step}"
            name = steps + (f"-rank{self._rank}" if self._rank else "")
            files = [folder / f"{name}.json"]
            _whole(files[0], self._profile.export_chrome_trace)
            if self._on_gpu:
                files.append(folder / f"{name}.pickle")
                _whole(files[1], torch.cuda.memory._dump_snapshot)
                torch.cuda.memory._record_memory_history(enabled=None)
            self._profile = None
            names = [path.relative_to(self._run).as_posix() for path in files]
            self._events.write("profiled", first=self._began, last=step, files=names)
            self._events.note(
                f"steps {self._began} to {step} were profiled: {' and '.join(names)}; their times are left out of the "
                f"receipt's step; {OWN_MEMORY[self._on_gpu]}"
            )


def _whole(path: Path, write: Any) -> None:
    """There once it is whole. The profiler writes by the end of the name."""
    partial = path.with_name(f".partial-{os.getpid()}-{path.name}")
    write(str(partial))
    partial.replace(path)
