"""The micro-batches that may be the fullest."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finefit.nouns.fullest import Row, fullest, measure, spread


def row(length: int, *images: int) -> Row:
    return Row(length, sum(images), sum(image**2 for image in images))


ROWS = st.lists(
    st.builds(
        lambda text, images: row(text + sum(images), *images),
        st.integers(1, 9),
        st.lists(st.integers(1, 6), max_size=2),
    ),
    min_size=1,
    max_size=8,
)


@given(ROWS, st.integers(1, 4))
def test_no_batch_exceeds_all_that_are_tried(rows: list[Row], size: int) -> None:
    """Of any rows that may meet, a batch that is tried is as long, is padded where they are, and has as many patches;
    and one has as large squares."""
    size = min(size, len(rows))
    tried = [measure(rows, batch) for batch in fullest(rows, size)]
    for batch in combinations(range(len(rows)), size):
        length, patches, squares, is_padded = measure(rows, batch)
        for place, wanted in ((1, patches), (2, squares)):
            assert any(one[0] >= length and one[place] >= wanted and one[3] >= is_padded for one in tried)


@given(ROWS, st.integers(1, 4))
def test_what_is_tried_can_meet_and_is_not_exceeded(rows: list[Row], size: int) -> None:
    """Each is of different rows, as many as there may be, and none is in nothing more than another."""
    tried = fullest(rows, size)
    measures = [measure(rows, batch) for batch in tried]
    assert all(len(set(batch)) == len(batch) == min(size, len(rows)) for batch in tried)
    for one, other in combinations(measures, 2):
        assert not all(mine >= its for mine, its in zip(one, other, strict=True))
        assert not all(mine <= its for mine, its in zip(one, other, strict=True))
    assert measures == sorted(measures, reverse=True)


@given(ROWS, st.integers(1, 4), st.data())
def test_a_larger_image_makes_no_batch_smaller(rows: list[Row], size: int, data: st.DataObject) -> None:
    """Where a row grows, all that was tried before is exceeded, or there still, by length and patches."""
    number = data.draw(st.integers(0, len(rows) - 1))
    more = data.draw(st.integers(1, 5))
    grown = list(rows)
    grown[number] = replace(rows[number], length=rows[number].length + more, patches=rows[number].patches + more)
    after = [measure(grown, batch) for batch in fullest(grown, size)]
    for batch in fullest(rows, size):
        length, patches, *_ = measure(rows, batch)
        assert any(one[0] >= length and one[1] >= patches for one in after)


def test_a_long_row_and_one_that_shows_much_are_both_tried() -> None:
    """Neither exceeds the other; what is shorter and shows less is left out."""
    assert fullest([row(90), row(60, 40), row(50, 30)], 1) == [(0,), (1,)]
    assert fullest([row(90), row(60, 40), row(50, 30)], 2) == [(0, 1), (1, 2)]


@pytest.mark.parametrize("most", [3, 4, 6])
def test_of_many_the_ends_and_some_between_are_kept(most: int) -> None:
    """The longest, the one with most patches, and not more than are asked for, or than the ends are."""
    rows = [row(100 - number, *[1] * number) for number in range(40)]
    batches = fullest(rows, 1)
    assert len(batches) == 40
    kept = spread(rows, batches, most)
    assert kept[0] == (0,)
    assert (39,) in kept
    assert len(kept) == most
    assert spread(rows, batches[:3], most) == batches[:3]
