"""The micro-batches that reserved memory depends on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from finefit.nouns.schedule import MOST, MicroBatch, Step, chosen


def step(*lengths: int, empties_cache: bool = False) -> Step:
    return Step(tuple(MicroBatch(1, length, length) for length in lengths), empties_cache)


def lengths(steps: list[Step]) -> list[list[int]]:
    return [[each.length for each in step.micro_batches] for step in steps]


STEPS = st.builds(step, st.integers(1, 99), st.integers(1, 99), st.integers(1, 99), empties_cache=st.booleans())
RUNS = st.lists(STEPS, min_size=1, max_size=30)


def test_what_is_no_longer_than_before_is_left_out() -> None:
    """First micro-batches are held against first ones, later ones against later ones."""
    run = [step(5, 3, 3, 7), step(4, 9), step(5, 9, 2), step(6, 1), step(1, 8)]
    assert lengths(chosen(run)) == [[5, 3, 7], [4, 9], [6]]


def test_rows_grow_again_once_the_cache_is_emptied() -> None:
    run = [step(5, 7), step(4, 6), step(3, 2, empties_cache=True), step(3, 1)]
    found = chosen(run)
    assert lengths(found) == [[5, 7], [3, 2]]
    assert [each.empties_cache for each in found] == [False, True]


@given(RUNS)
def test_the_longest_is_always_there(run: list[Step]) -> None:
    longest = max(each.length for step in run for each in step.micro_batches)
    assert longest in {each.length for step in chosen(run) for each in step.micro_batches}


@given(RUNS)
def test_choosing_twice_is_choosing_once(run: list[Step]) -> None:
    """What was chosen sets records among itself."""
    assert chosen(chosen(run)) == chosen(run)


def test_no_more_are_chosen_than_can_be_replayed() -> None:
    """Whole spans go: the first stays, and of the others those with the longest rows, in the run's order."""
    spans = [[step(1, 2), *(step(1, 3 + grown) for grown in range(15 + span))] for span in range(6)]
    run = [
        Step(each.micro_batches, place == 0 and span > 0) for span in range(6) for place, each in enumerate(spans[span])
    ]
    found = chosen(run)
    assert sum(len(each.micro_batches) for each in found) <= MOST
    begins = [place for place, each in enumerate(found) if each.empties_cache]
    assert lengths(found[: begins[0]]) == lengths(spans[0])
    assert lengths(found[begins[-1] :]) == lengths(spans[5])


@given(RUNS)
def test_a_step_is_told_and_heard(run: list[Step]) -> None:
    assert [Step.from_json(each.as_json()) for each in run] == run
