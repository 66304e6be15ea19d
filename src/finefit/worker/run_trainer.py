"""The trainers of a real run: ours, with checkpoints that are complete or invisible, a held-out loss that does not
depend on how rows are batched, and a report of every step.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import _disable_current_modes
from transformers import TrainerCallback

from finefit.errors import RunFailed

from . import told
from .checkpoints import publish, refuse_full_disk, rotate
from .evaluated import Evaluated, HeldOut
from .events import Events
from .preferences import PreferenceTrainer
from .progress import Progress
from .stage import RECORDED_STEPS
from .stop import Stop
from .told import LogProbs
from .trainer import Trainer

PARTIAL = ".partial"
"""Where transformers writes, inside the folder of checkpoints: nothing in it counts."""


class OfRun(Evaluated):
    """What a run adds to a trainer, before which it comes. `aside` is entered around all that is not training; `keep`
    is how many checkpoints stay; `check` may end the run."""

    control: Any
    is_in_train: bool
    planned_bytes: int | None = None
    # allocated at the peak, for who follows it

    def __init__(
        self,
        *args: Any,
        events: Events,
        progress: Progress,
        keep: int,
        aside: Callable[[], AbstractContextManager[None]],
        check: Callable[[], None],
        **kwargs: Any,
    ) -> None:
        self.events = events
        self.progress = progress
        self.keep = keep
        self._aside = aside
        self._check = check
        super().__init__(*args, **kwargs)

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> Any:
        batches, items = super().get_batch_samples(epoch_iterator, num_batches, device)
        with _disable_current_modes():
            self.progress.count(batches)
        return batches, items

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """A tracker is told of the memory, too."""
        if self.args.report_to:
            now = self.progress.memory_now()
            kind = now["memory_kind"]
            memory = {f"{kind}_bytes": now["memory_bytes"], f"peak_{kind}_bytes": now["peak_bytes"]}
            memory |= {} if self.planned_bytes is None else {"planned_peak_allocated_bytes": self.planned_bytes}
            logs = logs | {f"memory/{name}": nbytes for name, nbytes in memory.items()}
        super().log(logs, *args, **kwargs)

    def evaluate(self, *_args: Any, **_kwargs: Any) -> dict[str, float]:
        """Called by `train()` every `eval_steps`."""
        loss = self.held_out("during").loss
        metrics = {"eval_loss": loss}
        if self.args.report_to:
            self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def check(self) -> None:
        if not self.is_in_train:  # which ends after a step, once that is saved
            self._check()

    def held_out(self, when: str) -> HeldOut:
        """What the held-out rows say."""
        started = time.perf_counter()
        with self.aside():
            found = self.held_out_rows()
        seconds = time.perf_counter() - started
        self.events.write("eval", when=when, step=self.state.global_step, **found.told(), seconds=seconds)
        return found

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        started, step = time.perf_counter(), self.state.global_step
        partial, name = Path(self.args.output_dir), f"checkpoint-{step}"
        facts = {"step": step, "tokens": self.progress.tokens, "seconds": self.progress.seconds}
        with self.aside():
            nbytes = self._bytes_to_save()
            if self.publishes:
                refuse_full_disk(partial.parent, nbytes)
                partial.mkdir(exist_ok=True)
            self.wait()
            try:
                super()._save_checkpoint(model, trial)
                self.wait()
                if self.publishes:
                    nbytes = publish(partial / name, partial.with_name(name), facts)
            finally:
                if self.publishes:
                    shutil.rmtree(partial, ignore_errors=True)
            if self.publishes:
                rotate(partial.parent, self.keep, step)
            self.wait()
        path, seconds = f"{partial.parent.name}/{name}", time.perf_counter() - started
        self.events.write("checkpoint", step=step, path=path, bytes=nbytes, seconds=seconds)

    @property
    def publishes(self) -> bool:
        """Of several ranks that write a checkpoint, one makes it visible."""
        return True

    def wait(self) -> None:
        """For the other ranks, where there are."""

    @contextmanager
    def aside(self) -> Iterator[None]:
        """What happens inside costs the training no time, no memory on its record and no random numbers."""
        with self.progress.paused(), torch.random.fork_rng(), _disable_current_modes(), self._aside():
            yield

    def _bytes_to_save(self) -> int:
        state = [value for values in self.optimizer.state.values() for value in values.values()]
        return saved_bytes(self.model) + sum(value.nbytes for value in state if isinstance(value, torch.Tensor))


class RunTrainer(OfRun, Trainer):
    """On rows."""


class PreferenceRunTrainer(OfRun, PreferenceTrainer):
    """On preferences. `told`: a file for what the reference says, where it is asked before training."""

    def __init__(self, *, told: Path, **kwargs: Any) -> None:
        self.told = told
        super().__init__(**kwargs)

    def asked(self, dataset: Any, batch_size: int) -> LogProbs:
        known = told.read(self.told, dataset)
        if known is not None:
            return known
        self.events.note(
            f"the reference is asked about {len(dataset)} pairs, once; {self.told.name} keeps what it says"
        )
        with self.aside():
            found = super().asked(dataset, batch_size)
        if self.publishes:
            told.keep(self.told, dataset, found)
        self.wait()
        return found


def saved_bytes(model: nn.Module) -> int:
    """Of an adapter, or of the whole model where there is none."""
    has_adapter = hasattr(model, "peft_config")
    return sum(p.nbytes for p in model.parameters() if p.requires_grad or not has_adapter)


class RunCallback(TrainerCallback):
    """Reports each step, stops when asked, and keeps back checkpoints until the memory is measured.

    The first `RECORDED_STEPS` steps are measured and nothing is saved before they are over, so that a run that is
    resumed has been measured.
    """

    def __init__(self, events: Events, progress: Progress, stop: Stop, measured_already: bool) -> None:
        self._events = events
        self._progress = progress
        self._stop = stop
        self._measured = measured_already
        self.on_measured: Callable[[], None] = lambda: None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._progress.start()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        last = state.global_step >= state.max_steps
        if not self._measured:
            if state.global_step < RECORDED_STEPS and not last:
                control.should_save = False
                return
            self._measured = True
            with self._progress.paused():
                self.on_measured()
        if last or self._stop.asked:
            control.should_training_stop = True
            control.should_save = True
            control.should_log = True
            control.should_evaluate = False  # after training, all is evaluated once more

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._measured:
            with self._progress.paused():
                self.on_measured()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if "loss" not in logs:
            return
        values = self._progress.report(state, logs)
        self._events.write("step", **values)
        if logs["loss"] != logs["loss"] or abs(logs["loss"]) == float("inf"):
            raise RunFailed(
                f"the loss is not a number at step {state.global_step}: the training has diverged; "
                "a lower learning rate, or bfloat16 in the place of float16, may help"
            )

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._progress.stop()
