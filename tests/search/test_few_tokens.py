"""Micro-batches of few tokens beside packed weights: tapes may not know them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from finefit import api
from finefit.nouns.job import Job
from finefit.nouns.planned import Planned
from finefit.rehearsal import few
from finefit.rehearsal.build import Built
from finefit.rehearsal.recipe import SMALL_PRODUCT_TOKENS, Recipe
from finefit.tape.tape import Tape

JOB = Job(
    model="llama-3.2-1b", data="", method="qlora4", gpu="RTX4060-8GB", max_length=SMALL_PRODUCT_TOKENS // 2,
    global_batch_size=8,
)  # fmt: skip
"""One sequence, and two, are few tokens; four are not."""


class Asked(Exception):
    """A worker would be."""


@pytest.fixture(autouse=True)
def tapes_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shipped tapes, as if nobody had recorded so few tokens."""
    shipped = few.of_atlas

    def without(key: str) -> Tape | None:
        tape = shipped(key)
        if tape is None:
            return None
        many = [one for one in tape.histories if all(point.tokens > SMALL_PRODUCT_TOKENS for point in one.points)]
        return replace(tape, histories=tuple(many))

    def refused(recipes: Sequence[Recipe], *_: object) -> list[Built]:
        raise Asked([recipe.point for recipe in recipes])

    monkeypatch.setattr(few, "of_atlas", without)
    monkeypatch.setattr(few, "build", refused)


def plan(job: Job) -> Planned:
    return api.plan(job)


def test_nothing_is_rehearsed_for_them_where_others_fit_without_recomputing() -> None:
    found = plan(JOB)
    assert found.choice is not None
    assert found.choice.knobs.per_device_train_batch_size >= 4
    assert found.choice.knobs.gradient_checkpointing == 0
    [note] = [note for note in found.notes if "not weighed" in note]
    assert "micro-batch 1, 2;" in note


def test_where_they_are_pinned_they_are_rehearsed() -> None:
    with pytest.raises(Asked):
        plan(replace(JOB, per_device_train_batch_size=1))


def test_where_nothing_else_fits_they_are_rehearsed() -> None:
    """On a card that an 8B model nearly fills."""
    with pytest.raises(Asked):
        plan(replace(JOB, model="llama-3.1-8b", method="qlora4", max_length=SMALL_PRODUCT_TOKENS))


def test_a_plan_of_more_tokens_leaves_nothing_out() -> None:
    found = plan(replace(JOB, max_length=SMALL_PRODUCT_TOKENS + 1))
    assert found.choice is not None
    assert not any("not weighed" in note for note in found.notes)
