"""A plan as a row of the matrix: a guide's tiers are those of `finefit matrix`, of what the allocator was asked."""

from __future__ import annotations

from dataclasses import replace

from finefit.nouns.estimate import Estimate
from finefit.nouns.matrix import Answer, Row, Tier
from finefit.nouns.method import name_of
from finefit.nouns.planned import Planned
from finefit.search.tiers import tier_among

from .subject import Subject
from .words import device


def tier_of(subject: Subject, planned: Planned) -> Tier:
    choice = planned.choice
    row = None if choice is None else _row(subject, choice)
    return (None if row is None else tier_among(row, subject.rows_of_matrix)) or "not recommended"


def _row(subject: Subject, choice: Estimate) -> Row | None:
    """The matrix's, with what the plan found out; None where nothing is known of its time."""
    card, pace, hours = choice.machine.gpu, choice.pace, subject.hours(choice)
    assert card is not None
    if pace is None or hours is None:
        return None
    key = card.name, choice.machine.count, name_of(choice.method)
    known = next(row for row in subject.rows_of_matrix if (row.gpu, row.count, row.method) == key)
    high = device(choice).high
    answer = Answer(
        knobs=choice.knobs,
        engine=choice.engine,
        layers_checkpointed=0,
        peak_bytes=choice.ledger.peak_bytes,
        high_bytes=high,
        least_bytes=high if known.answer is None else known.answer.least_bytes,
        off=0.0,
        step_seconds=pace.step_seconds,
        tokens_per_step=pace.tokens,
    )
    return replace(known, verdict=choice.verdict, answer=answer, hours=hours.seconds / 3600)
