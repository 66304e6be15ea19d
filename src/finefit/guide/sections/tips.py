"""Tips, each with its computed effect: the estimator asked again with one thing changed."""

from __future__ import annotations

from collections.abc import Iterator

from finefit.nouns.advice import Advice, Direction, Effect
from finefit.nouns.estimate import Estimate
from finefit.search.advice import Basis, advise, pinned

from ..blocks import Block, Cell, Heading, Paragraph, Quantity, size, table
from ..subject import Missing, Subject
from ..words import TOUCHES, device, recipe_words, smallest_card

TITLES: dict[Direction, str] = {
    "give up": "Where memory is short, by the time it costs",
    "spend": "Where memory is left, by the time it saves",
}


def tips(subject: Subject) -> Iterator[Block]:
    given = advice(subject)
    yield Heading("Tips, each with its effect")
    yield Paragraph(
        f"One thing changed at a time, in the recipe on one {subject.base.machine.name} "
        f"({recipe_words(subject.base)}), and "
        "the whole step computed again. Time is for the same number of tokens; what touches nothing keeps the "
        "mathematics of each step. A change that would need a rehearsal of its own is not in the list."
    )
    for direction, title in TITLES.items():
        yield Heading(title, 3)
        rows = [_row(one) for one in given if one.direction == direction]
        columns = ("change", "job's keys", "memory", "device, at most", "time", "touches", "then enough, surely")
        yield table(columns, rows) if rows else Paragraph("Nothing that can be computed changes it.")


def advice(subject: Subject) -> tuple[Advice, ...]:
    base = subject.base
    assert base.machine.gpu is not None
    basis = Basis(pinned(subject.base_job, subject.job.method, base.knobs), subject.model, base.machine)
    limit = base.machine.gpu.sure_bytes
    before = effect(base)
    return () if before is None else advise(basis, before, lambda job: effect(subject.known(job)), limit)


def effect(one: Estimate | Missing) -> Effect | None:
    if isinstance(one, Missing) or one.pace is None:
        return None
    return Effect(device(one).high, one.pace.tokens_per_second)


def _row(one: Advice) -> tuple[Cell, ...]:
    keys = ", ".join(f"{key}: {value}" for key, value in one.keys.items())
    return (
        one.what,
        f"`{keys}`",
        Quantity(-one.saved_bytes, "bytes", is_signed=True),
        size(one.after.high_bytes),
        Quantity(100 * one.time_lost, "%", is_signed=True),
        TOUCHES[one.touches],
        smallest_card(one.after.high_bytes),
    )
