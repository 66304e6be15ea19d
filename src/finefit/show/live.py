"""A run as it goes, on stderr: a bar where a terminal listens, one line for each event where none does.

Knows the events of the worker's events.jsonl; what it does not know, it passes over.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from finefit.units import human_bytes, human_seconds

from .terminal import console_on, show_plan

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from finefit.nouns.observer import Observer
    from finefit.nouns.plan import Plan


def observer() -> Observer:
    """For this terminal."""
    return Bar() if sys.stderr.isatty() else Lines()


@contextmanager
def working() -> Iterator[Callable[[str], None]]:
    """A function that says what a long command is doing; a spinner where a terminal listens."""
    console = console_on(sys.stderr)
    if not console.is_terminal:
        yield lambda text: console.print(text)
        return
    with console.status("") as status:
        yield lambda text: status.update(text)


class Lines:
    """Plain lines: for a log, a pipe, a test."""

    def __init__(self) -> None:
        self.console = console_on(sys.stderr)
        self.plan: Plan | None = None

    def note(self, text: str) -> None:
        self.console.print(f"note: {text}")

    def stage(self, text: str) -> None:
        self.console.print(text)

    def planned(self, plan: Plan) -> None:
        from .planned import show_run

        self.plan = plan
        show_plan(plan, self.console)
        show_run(plan, self.console)

    def event(self, event: Mapping[str, Any]) -> None:
        text = step_words(event, self.plan) if event["event"] == "step" else event_words(event)
        if text:
            self.console.print(text)

    def close(self) -> None:
        """Nothing is open."""


class Bar(Lines):
    """A bar at the bottom, which a stage turns and steps fill; everything else scrolls above it."""

    def __init__(self) -> None:
        super().__init__()
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def stage(self, text: str) -> None:
        progress = self._started()
        if self._task is not None:
            progress.remove_task(self._task)
        self._task = progress.add_task(text, total=None, facts="")

    def event(self, event: Mapping[str, Any]) -> None:
        if event["event"] != "step":
            super().event(event)
            return
        if self._task is None:
            self.stage("training")
        assert self._task is not None
        self._started().update(
            self._task,
            total=event.get("steps"),
            completed=event.get("step", 0),
            facts=step_words(event, self.plan),
        )

    def close(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = self._task = None

    def _started(self) -> Progress:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

        if self._progress is None:
            self._progress = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=20),
                TextColumn("{task.fields[facts]}", markup=False),
                console=self.console,
            )
            self._progress.start()
        return self._progress


def step_words(event: Mapping[str, Any], plan: Plan | None) -> str:
    """`step 3/20 · loss 2.3145 · 812 tokens/s · …`: what of it the event has."""
    loss, speed, left = event.get("loss"), event.get("tokens_per_second"), event.get("seconds_left")
    parts = [
        f"step {event.get('step')}/{event.get('steps', '?')}",
        "" if loss is None else f"loss {loss:.4f}",
        told_apart_words(event),
        "" if speed is None else f"{speed:.0f} tokens/s",
        memory_words(event, plan),
        f"{human_seconds(left)} left" if left else "",
    ]
    return " · ".join(part for part in parts if part)


def told_apart_words(event: Mapping[str, Any]) -> str:
    """Of pairs, how many are told apart rightly; nothing where rows are trained on."""
    right = (event.get("rewards") or {}).get("accuracies")
    return "" if right is None else f"{right:.0%} preferred"


def memory_words(event: Mapping[str, Any], plan: Plan | None) -> str:
    """Memory now and at most; beside the plan where both count the same thing, the bytes of tensors."""
    now, peak = event.get("memory_bytes"), event.get("peak_bytes")
    if now is None:
        return ""
    kind = "process" if event.get("memory_kind") == "rss" else "allocated"
    text = f"{kind} {human_bytes(now)}" + ("" if peak is None else f", at most {human_bytes(peak)}")
    if plan is not None and kind == "allocated":
        text += f" of {human_bytes(plan.ledger.peak_bytes)} planned"
    return text


def event_words(event: Mapping[str, Any]) -> str:
    match event["event"]:
        case "eval":
            loss = event.get("eval_loss", event.get("loss"))
            preferred = told_apart_words(event)
            words = f" · {preferred}" if preferred else ""
            return "" if loss is None else f"step {event.get('step', 0)} · held-out loss {loss:.4f}{words}"
        case "checkpoint":
            return f"step {event.get('step')} · checkpoint {event.get('path')}"
        case "joined":
            return f"training this machine's share of {event.get('run')}"
        case "loaded":
            return f"loaded in {human_seconds(event.get('seconds', 0.0))}"
        case "saved":
            return f"saved {event.get('path')}"
        case "stopped":
            return "stopped" + (f" after step {event['step']}" if "step" in event else "")
        case "done":
            return f"done in {human_seconds(event.get('seconds', 0.0))}"
        case "note":
            return f"note: {event.get('text')}"
    return ""
