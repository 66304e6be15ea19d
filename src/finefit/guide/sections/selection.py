"""Quick selection: your hardware, what to run on it, how long it takes."""

from __future__ import annotations

from collections.abc import Iterator

from finefit.nouns.planned import Planned

from ..blocks import Block, Cell, Heading, Paragraph, Quantity, table
from ..subject import Subject
from ..words import duration, duration_range, recipe_words
from .matrix import cost


def selection(subject: Subject) -> Iterator[Block]:
    yield Heading("Quick selection")
    yield Paragraph(run_words(subject))
    rows = [row for gpu in subject.gpus for row in _row(subject, gpu)]
    yield table(("your hardware", "recipe", "likely time", "least and most", "steps", "cost"), rows)


def run_words(subject: Subject) -> str:
    given = "as given" if subject.rows_are_given else "supposed, since none were given; `--rows` says yours"
    epochs = Quantity(subject.job.num_train_epochs, "")
    return (
        f"Time and cost are of {subject.rows:,} rows ({given}), seen {epochs} times, each padded to "
        f"{subject.length:,} tokens; a step reads {subject.job.global_batch_size} of them. Shorter rows take less. "
        "The cost is that of the cheapest machine on the dated price list, and grows with the time."
    )


def _row(subject: Subject, gpu: str) -> Iterator[tuple[Cell, ...]]:
    planned = subject.planned(gpu)
    if not isinstance(planned, Planned):
        return
    one = planned.choice
    if one is None:
        yield planned.machine.name, "nothing fits", "–", "–", "–", "–"
        return
    hours = subject.hours(one)
    steps: Cell = "–" if hours is None else Quantity(hours.steps, "steps")
    yield (
        planned.machine.name,
        recipe_words(one),
        duration(hours),
        duration_range(hours),
        steps,
        cost(subject, gpu, one),
    )
