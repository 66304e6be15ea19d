"""The order in which rows are trained."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from finefit.worker.longest_first import LongestFirst

ROWS = st.lists(st.integers(1, 500), min_size=1, max_size=60)
SMALL = st.integers(1, 5)


@given(ROWS, SMALL, SMALL, st.integers(0, 5))
def test_the_longest_row_is_in_the_last_micro_batch_of_the_second_step(
    lengths: list[int], micro_batch: int, accumulation: int, seed: int
) -> None:
    """Where there are rows enough for it; else it is in the last micro-batch of the first step, if that is full."""
    order = list(LongestFirst(lengths, micro_batch, accumulation, seed))
    batches = [order[start : start + micro_batch] for start in range(0, len(order), micro_batch)]
    places = [place for place in (2 * accumulation - 1, accumulation - 1) if place < len(batches)]
    if places:
        assert max(lengths) in [lengths[row] for row in batches[places[0]]]


@given(ROWS, SMALL, SMALL, st.integers(0, 5), st.integers(0, 3))
def test_every_epoch_has_every_row_once(
    lengths: list[int], micro_batch: int, accumulation: int, seed: int, epoch: int
) -> None:
    """No row is dropped or repeated, and the same seed gives the same order."""
    sampler = LongestFirst(lengths, micro_batch, accumulation, seed)
    sampler.set_epoch(epoch)
    order = list(sampler)
    assert sorted(order) == list(range(len(lengths)))
    assert order == list(sampler)
