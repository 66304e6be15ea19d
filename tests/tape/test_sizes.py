"""Sizes as formulas: exact at every point, or none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finefit.tape.points import Free, first_points, further_points, more_points
from finefit.tape.sizes import RULERS, Formula, Point, formulas_of, rulers_at, value_at
from finefit.tape.tape import Bounds

POINTS = first_points(Bounds(), Free())
ANY_POINT = st.builds(Point, st.integers(1, 64), st.integers(2, 200_000), st.integers(1, 256))
ANY_FORMULA = st.lists(
    st.tuples(st.integers(1, 1 << 33), st.sampled_from(list(RULERS))), min_size=1, max_size=2, unique_by=lambda t: t[1]
).map(lambda terms: Formula(tuple(terms)))


@given(ANY_FORMULA, ANY_POINT)
def test_what_is_measured_by_rulers_is_known_everywhere(formula: Formula, point: Point) -> None:
    """From the first points alone, a size of one ruler is found again at any other point; of two, or is not known."""
    row = [formula.at(rulers_at(each)) for each in POINTS]
    found = formulas_of([row], POINTS)
    assert found is not None
    said, right = value_at(found[0], rulers_at(point)), formula.at(rulers_at(point))
    assert said == right or (said is None and formula.ruler is None)


@given(ANY_FORMULA, st.integers(0, len(POINTS) - 1))
def test_a_byte_off_at_one_point_is_no_formula(formula: Formula, place: int) -> None:
    """Near enough is not enough."""
    row = [formula.at(rulers_at(each)) + (number == place) for number, each in enumerate(POINTS)]
    assert formulas_of([row], POINTS) is None


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
    assert further_points([], Bounds(), Free()) == []


@pytest.mark.parametrize("bounds", [Bounds(), Bounds((2047, 4096)), Bounds((512,), (3072,))])
def test_points_stay_where_a_recipe_is_free(bounds: Bounds) -> None:
    """Of one micro-batch and one rank, with room for the images of a row; none of them is asked for twice."""
    free = Free(rank=8, batch=3, least=700)
    points = {*first_points(bounds, free), *more_points(bounds, free)}
    assert len({point.length for point in points}) > 4
    assert all((point.batch, point.rank) == (3, 8) and point.length > 700 for point in points)


@pytest.mark.parametrize(
    ("points", "known", "unknown"),
    [
        ([Point(b, 512) for b in (2, 4, 8)], Point(16, 512), Point(2, 1024)),
        ([Point(2, s) for s in (256, 515, 1024)], Point(2, 777), Point(4, 512)),
        ([Point(3, s, 16) for s in (256, 515, 1024)], Point(3, 777, 16), Point(3, 512, 8)),
    ],
    ids=["one length", "one batch", "one rank"],
)
def test_what_was_never_varied_is_not_known_elsewhere(points: list[Point], known: Point, unknown: Point) -> None:
    """From points of one length, micro-batch or rank, nothing is said of another one."""
    ruler = "BSr" if points[0].rank else "BS"
    row = [1000 * rulers_at(point)[ruler] for point in points]
    found = formulas_of([row], points)
    assert found is not None
    assert value_at(found[0], rulers_at(known)) == 1000 * rulers_at(known)[ruler]
    assert value_at(found[0], rulers_at(unknown)) is None
