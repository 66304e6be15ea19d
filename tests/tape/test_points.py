"""Points that a tape is made of: where it answers everywhere."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product

import pytest

from finefit.nouns.recording import Recording
from finefit.tape.points import Free, crossed, first_points, further_points
from finefit.tape.sizes import Point, rulers_at
from finefit.tape.tape import Bounds, Take, Tape

ROUNDS = 8
FEW_AND_MANY = Bounds((), (512, 3072), (4096,))
SIZES = ("BS", "B", "BSr", "r·4096÷65536", "BS·S16", "last chunk")


def step(point: Point, told_apart: tuple[bool, ...], by: Callable[[list[bool]], object]) -> Recording:
    """Another phase for whatever is told by the conditions that tell histories apart."""
    met = FEW_AND_MANY.conditions(point)
    seen = by([one for one, is_told in zip(met, told_apart, strict=True) if is_told])
    values = rulers_at(point, FEW_AND_MANY.widths)
    return Recording(
        blocks=1,
        nbytes=tuple(1000 * values[ruler] for ruler in SIZES),
        kinds=tuple(range(len(SIZES))),
        kind_names=tuple(("saved", "forward", ruler, "op") for ruler in SIZES),
        block_of=(None,) * len(SIZES),
        events=(*range(1, len(SIZES) + 1), *range(-len(SIZES), 0)),
        marks=((0, f"1/0/{seen}"), (2 * len(SIZES), "1/0/resident")),
        parameters=0,
        trainable_parameters=0,
    )


def built(recorded: Callable[[Point], Recording]) -> Tape:
    tape, free = Tape((), FEW_AND_MANY, {}), Free()
    points = first_points(FEW_AND_MANY, free)
    for _ in range(ROUNDS):
        for point in points:
            tape = tape.with_take(Take(point, ("a",), recorded(point), is_whole=True))
        points = further_points(tape, free)
    assert not points, "the rounds of a build are enough"
    return tape


def unseen(seed: str) -> Iterator[Point]:
    seeded = random.Random(seed)
    for _ in range(100):
        batch = seeded.randint(1, 9)
        yield Point(batch, seeded.randint(17, 12_000) // batch + 17, seeded.choice([2, 4, 12, 40, 128]))


@pytest.mark.wide(16)
@pytest.mark.parametrize("told_apart", product((False, True), repeat=6), ids=str)
def test_a_tape_answers_whatever_tells_its_histories_apart(told_apart: tuple[bool, ...]) -> None:
    """Any of the conditions, each for itself: at any point it says what the step does."""
    direct = partial(step, told_apart=told_apart, by=tuple)
    tape = built(direct)
    for point in unseen(str(told_apart)):
        told = tape.at(point, "a")
        assert told is not None, point
        assert (told.marks, told.nbytes) == (direct(point).marks, direct(point).nbytes)


@pytest.mark.wide(16)
@pytest.mark.parametrize("told_apart", product((False, True), repeat=6), ids=str)
@pytest.mark.parametrize("by", [all, any])
def test_what_was_recorded_goes_before_what_was_met_in_parts(
    by: Callable[[list[bool]], object], told_apart: tuple[bool, ...]
) -> None:
    """Where conditions change something only together: under those of a recorded point, it says what the step does."""
    direct = partial(step, told_apart=told_apart, by=by)
    tape = built(direct)
    met = {tape.bounds.conditions(point) for history in tape.histories for point in history.points}
    for point in unseen(str(told_apart)):
        if tape.bounds.conditions(point) in met:
            told = tape.at(point, "a")
            assert told is not None, point
            assert (told.marks, told.nbytes) == (direct(point).marks, direct(point).nbytes)


@pytest.mark.parametrize("sequences", [1, 2])
@pytest.mark.parametrize("bounds", [Bounds(), Bounds((511,)), Bounds((2047, 4096)), Bounds((4095,), (512,))])
def test_the_first_points_meet_every_condition(bounds: Bounds, sequences: int) -> None:
    """Alone and in company, aligned or not, on both sides of every length and of few tokens; with one, two and three
    chunks of tokens."""
    points = first_points(bounds, Free(sequences=sequences))
    assert {point.sequences for point in points} == {sequences}
    assert all(set(met) == {True, False} for met in zip(*map(bounds.conditions, points), strict=True))
    assert {min(point.chunks, 3) for point in points} == {1, 2, 3}
    assert len({point.rank for point in points}) > 2


def test_a_trusted_history_needs_no_further_points() -> None:
    """And where there is none, nothing is asked for."""
    assert further_points(Tape((), Bounds(), {}), Free()) == []


@pytest.mark.parametrize("bounds", [Bounds(), Bounds((2047, 4096)), Bounds((512,), (3072,))])
def test_points_stay_where_a_recipe_is_free(bounds: Bounds) -> None:
    """Of one micro-batch and one rank, with room for the images of a row; none of them is asked for twice."""
    free = Free(rank=8, batch=3, least=700)
    points = {*first_points(bounds, free), *crossed(bounds, free)}
    assert len({point.length for point in points}) > 4
    assert all((point.batch, point.rank) == (3, 8) and point.length > 700 for point in points)
