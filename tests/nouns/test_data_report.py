"""Lengths of rows in bins."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from finefit.nouns.data_report import MOST_BINS, histogram


@given(st.lists(st.integers(1, 10**6), max_size=30))
def test_every_row_is_in_one_bin(lengths: list[int]) -> None:
    """Bins follow one another, are of one width, few, and hold each row once."""
    bins = histogram(lengths)
    assert sum(each.rows for each in bins) == len(lengths)
    assert len(bins) <= MOST_BINS
    for each in bins:
        assert each.rows == sum(each.low <= length <= each.high for length in lengths)
    assert len({each.high - each.low for each in bins}) <= 1
