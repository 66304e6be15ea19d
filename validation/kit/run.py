"""Measures points that have no receipt yet, until the time is over."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .child import Child
from .points import STEPS, Point, orders_of
from .receipts import is_done, read, receipt_of, write
from .roads import Here, why_not
from .seconds import START_SECONDS, learned, parameters_of, seconds_of
from .tiny import tiny, tiny_model

RECORDED_STEPS = 2
"""Of the recorder, on a processor."""

Say = Callable[[str], None]


@dataclass
class Session:
    """One call of `run`: where, until when, and what is known so far."""

    place: Here
    folder: Path
    deadline: float
    # of time.monotonic()
    ahead: int
    # workers that load their libraries while another measures
    predicted: dict[str, dict[str, Any]]
    say: Say
    measured: list[dict[str, Any]] = field(default_factory=list)

    @property
    def left(self) -> float:
        return self.deadline - time.monotonic()

    def guess(self, point: Point) -> float:
        if self.place.machine.is_cpu:
            return START_SECONDS
        return seconds_of(point, parameters_of(point, self.predicted), self.place.machine)

    def fits(self, point: Point) -> bool:
        return self.guess(point) * learned(self.measured) < self.left


def run(points: Sequence[Point], session: Session) -> None:
    """In the order given; what does not fit into the time left is passed over for what does."""
    before = read(session.folder)
    session.measured = [one for one in before.values() if "measured" in one]
    todo = deque(_to_measure(points, before, session))
    total, started = len(todo), deque[Child]()
    with ExitStack() as stack:
        while todo or started:
            _start_more(todo, started, session, stack)
            if not started:
                break
            child = started.popleft()
            if not session.fits(child.point):
                child.close()
                continue
            _measure(child, session, lambda: _start_more(todo, started, session, stack))
            session.say(_progress(len(todo) + len(started), total, session))


def _to_measure(points: Sequence[Point], before: dict[str, Any], session: Session) -> Iterator[Point]:
    for point in points:
        if is_done(before.get(point.id)):
            continue
        reason = why_not(point, session.place, session.predicted.get(point.id))
        if reason is None:
            yield point
        else:
            write(session.folder, receipt_of(point, _device(session.place), {"skipped": reason}))


def _start_more(todo: deque[Point], started: deque[Child], session: Session, stack: ExitStack) -> None:
    while todo and len(started) <= session.ahead:
        point = todo.popleft()
        if session.fits(point):
            started.append(child := Child(point, _orders(point, session.place)))
            stack.callback(child.close)


def _measure(child: Child, session: Session, meanwhile: Callable[[], None]) -> None:
    """Its receipt is written, unless the time is over first."""
    point, began = child.point, time.monotonic()
    child.go()
    meanwhile()
    answer = child.answer(session.left)
    child.close()
    if answer is None:
        session.say(f"{point.id}: not done in time, left for the next run")
        return
    facts = {
        "trainer": "trl" if session.place.with_trl else "transformers",
        "seconds": round(time.monotonic() - began, 1),
        "guessed_seconds": round(session.guess(point), 1),
        "neighbours": session.ahead,
    }
    receipt = receipt_of(point, _device(session.place), answer, **facts)
    write(session.folder, receipt)
    session.measured += [receipt] if "measured" in receipt else []
    session.say(f"{point.id}: {_words(receipt, session.predicted)}")


def _orders(point: Point, place: Here) -> dict[str, Any]:
    """A processor trains the small model of the same kind."""
    more = {"steps": RECORDED_STEPS if place.machine.is_cpu else STEPS, "with_trl": place.with_trl}
    if place.machine.is_cpu:
        return orders_of(tiny(point), place.machine, tiny_model(point.model), whole=True) | more
    return orders_of(point, place.machine, whole=True) | more


def _words(receipt: dict[str, Any], predicted: dict[str, dict[str, Any]]) -> str:
    if "failed" in receipt:
        return f"failed: {receipt['failed']}"
    found = receipt["measured"]
    if found.get("out_of_memory"):
        return "out of memory"
    words = f"{found['allocated_bytes'] / 2**30:.3f} GiB allocated"
    if receipt["device"] == "cuda" and receipt["id"] in predicted:
        said = predicted[receipt["id"]]["allocated_bytes"]
        words += f", predicted {100 * (said / found['allocated_bytes'] - 1):+.2f} %"
    return f"{words}, {receipt['seconds']} s"


def _progress(left: int, total: int, session: Session) -> str:
    return f"  {total - left} of {total} done, {session.left / 60:.1f} minutes left"


def _device(place: Here) -> str:
    return "cpu" if place.machine.is_cpu else "cuda"
