"""Sizes as formulas: exact at every point, or none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finefit.tape.points import Free, first_points
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
