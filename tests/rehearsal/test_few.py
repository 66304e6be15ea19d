"""What a search makes of tapes that do not tell everything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from finefit.nouns.job import Job
from finefit.nouns.knobs import Knobs
from finefit.nouns.method import QLoRA
from finefit.rehearsal import few
from finefit.rehearsal.build import Built, was_built
from finefit.rehearsal.few import Rehearsals
from finefit.rehearsal.recipe import Recipe
from finefit.search.choice import choose
from finefit.tape.tape import History, Tape
from finefit.world.gpus import machine_named
from finefit.world.models import find_model

MODEL, METHOD, MACHINE = find_model("llama-3.2-1b"), QLoRA(), machine_named("RTX4090")
JOB = Job(model=MODEL.id, data="", method="qlora4", max_length=1024)
Changed = Callable[[Tape], Tape]


class Asked(Exception):
    """A worker would be."""


def knobs(micro_batch: int) -> Knobs:
    return choose(replace(JOB, per_device_train_batch_size=micro_batch), MACHINE)


def recipe(micro_batch: int) -> Recipe:
    return Rehearsals(MODEL, MACHINE, print).recipe(METHOD, knobs(micro_batch), None)


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch) -> Callable[[Changed], Rehearsals]:
    """As if the atlas had tapes that are changed so."""
    original = few.of_atlas

    def refused(recipes: Sequence[Recipe], *_: object) -> list[Built]:
        raise Asked

    def with_tapes(changed: Changed) -> Rehearsals:
        def read(key: str) -> Tape | None:
            tape = original(key)
            return None if tape is None else changed(tape)

        monkeypatch.setattr(few, "of_atlas", read)
        monkeypatch.setattr(few, "build", refused)
        return Rehearsals(MODEL, MACHINE, print)

    return with_tapes


def history_of(tape: Tape, micro_batch: int) -> History:
    history = tape.history_at(recipe(micro_batch).point)
    assert history is not None
    return history


def test_what_a_built_tape_is_not_sure_of_is_unknown_and_the_rest_is_weighed(
    shipped: Callable[[Changed], Rehearsals],
) -> None:
    """A history that further rehearsals did not explain hides no other, and nobody waits for it again."""

    def unsure(tape: Tape) -> Tape:
        doubtful = history_of(tape, 16)
        copy = replace(doubtful)
        vars(copy)["formulas"] = None
        return replace(tape, histories=tuple(copy if one is doubtful else one for one in tape.histories))

    rehearsals = shipped(unsure)
    assert rehearsals.few(METHOD, knobs(1), None) is not None
    assert not rehearsals.unknown
    assert rehearsals.few(METHOD, knobs(16), None) is None
    assert rehearsals.whole(METHOD, knobs(16), None) is None
    assert (rehearsals.unknown, rehearsals.lacks_tapes) == ({16}, False)


def test_what_one_estimate_left_is_no_tape_of_the_others(shipped: Callable[[Changed], Rehearsals]) -> None:
    """Its own point it knows; under the same conditions it would be silent."""

    def of_one_point(tape: Tape) -> Tape:
        history = history_of(tape, 4)
        cut = replace(
            history,
            points=(replace(recipe(4).point, length=1008),),
            rows=tuple(row[:1] for row in history.rows),
            counts=tuple(row[:1] for row in history.counts),
        )
        return replace(tape, histories=(cut,))

    rehearsals = shipped(of_one_point)
    tape = few.of_atlas(recipe(4).key)
    assert tape is not None
    assert tape.history_at(recipe(4).point) is not None
    assert not was_built(recipe(4), tape)
    with pytest.raises(Asked):
        rehearsals.few(METHOD, knobs(4), None)
    rehearsals.begin(rehearses=False)
    assert rehearsals.few(METHOD, knobs(4), None) is None
    assert rehearsals.lacks_tapes
