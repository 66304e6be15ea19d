"""The same recipe on larger and smaller models of the catalogue."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from finefit.catalog import models
from finefit.nouns.estimate import Estimate
from finefit.nouns.method import Full
from finefit.show.words import method_words

from ..blocks import Block, Cell, Heading, Paragraph, Quantity, size, table
from ..subject import Subject
from ..words import between, device, smallest_card

STEPS = (1 / 8, 1 / 4, 1 / 2, 2, 4, 8)
"""Times as many parameters: of each, the model that comes nearest."""
KIN = 0.5
"""How many doublings further away a model of the same architecture may be, and still comes nearest."""


def sizes(subject: Subject) -> Iterator[Block]:
    asked = {name: subject.known(replace(subject.base_job, model=name)) for name in _near(subject)}
    known = [one for one in (*asked.values(), subject.base) if isinstance(one, Estimate)]
    known.sort(key=_parameters)
    yield Heading("Larger and smaller models")
    yield Paragraph(
        f"The same recipe ({method_words(subject.base.method)}, micro-batch, length and checkpointing) on others of "
        "the catalogue, about a half, a quarter, twice, four times as large and so on, where a tape is shipped."
    )
    yield table(
        ("model", "parameters", "likely", "range", "enough, likely", "enough, surely", "speed on the reference card"),
        [_row(one) for one in known],
    )


def _row(one: Estimate) -> tuple[Cell, ...]:
    nbytes = device(one)
    speed: Cell = "–" if one.pace is None else Quantity(one.pace.tokens_per_second, "tokens/s")
    enough = smallest_card(nbytes.typical), smallest_card(nbytes.high)
    figures = Quantity(_parameters(one), "parameters"), size(nbytes.typical), between(nbytes)
    return one.model.id, *figures, *enough, speed


def _parameters(one: Estimate) -> int:
    """Of the model, without adapters."""
    added = 0 if isinstance(one.method, Full) else one.ledger.trainable_parameters
    return one.ledger.parameters - added


def _near(subject: Subject) -> list[str]:
    own = _parameters(subject.base)
    kind = subject.model.config.get("model_type")
    rows = [row for row in models.rows() if abs(math.log2(row.parameters / own)) > KIN]

    def away(row: models.Row, wanted: float) -> float:
        found = models.model_named(row.name)
        is_kin = found is not None and found.config.get("model_type") == kind
        return abs(math.log2(row.parameters / wanted)) + (0 if is_kin else KIN)

    nearest = [min(rows, key=lambda row: away(row, own * step), default=None) for step in STEPS]
    return list(dict.fromkeys(row.name for row in nearest if row is not None))
