"""What is tried next, of recipes that a test made up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from finefit.nouns.knobs import Knobs
from finefit.nouns.method import LoRA
from finefit.nouns.pace import Pace, Share
from finefit.nouns.planned import Candidate
from finefit.search.fastest import Search, order
from finefit.search.rungs import next_rung, rungs

LAYERS, BATCH, BESIDE = 12, 8, 10


def recipe(micro_batch: int, layers: int) -> Candidate:
    """Each layer that is checkpointed takes less and is slower; so is a smaller micro-batch."""
    seconds = 100 + layers - 2 * micro_batch
    knobs = Knobs(64, micro_batch, BATCH // micro_batch, layers)
    peak = 1000 + micro_batch * (40 * (LAYERS - layers) + 20)
    return Candidate(LoRA(), knobs, None, peak, Pace((Share("all", seconds, "derived", ""),), seconds, seconds, 512))


EVERY = [recipe(micro_batch, layers) for micro_batch in (1, 2, 4, 8) for layers in range(LAYERS + 1)]
firsts = st.sampled_from(EVERY)
ratios = st.floats(1.0, 3.0)


def refused(_: Candidate) -> int:
    raise AssertionError("nothing is checked on the way down")


@given(firsts)
def test_below_a_recipe_are_more_layers_and_smaller_micro_batches(first: Candidate) -> None:
    """In this order, and none that is of a larger micro-batch, or as fast with the same."""
    below = rungs(EVERY, first)
    sizes = [one.knobs.per_device_train_batch_size for one in below]
    assert sizes == sorted(sizes, reverse=True)
    assert all(size <= first.knobs.per_device_train_batch_size for size in sizes)
    assert all(order(one) > order(first) for one in below if one.family == first.family)
    assert all(one.knobs.per_device_train_batch_size * one.knobs.gradient_accumulation_steps == BATCH for one in below)


@given(firsts, ratios, st.integers(800, 4000), st.integers(2, 6))
def test_each_rung_takes_less_and_the_last_takes_least(first: Candidate, ratio: float, limit: int, tries: int) -> None:
    """However much more is taken than was foreseen, the way down ends: with what fits, or with what takes least."""
    below, search = rungs(EVERY, first), Search(limit, BESIDE, refused)
    rung, tried = first, []
    while True:
        tried.append(rung)
        search.known[rung] = int(rung.peak_bytes * ratio) + BESIDE
        lower = next_rung(below, search, is_last=len(tried) == tries - 1)
        if search.known[rung] <= limit or lower is None:
            break
        rung = lower
    assert [one.peak_bytes for one in tried] == sorted({one.peak_bytes for one in tried}, reverse=True)
    assert len(tried) <= tries
    if search.known[rung] > limit:
        assert rung.peak_bytes <= min((one.peak_bytes for one in below), default=rung.peak_bytes)


@given(firsts, ratios)
def test_no_faster_rung_of_its_micro_batch_is_passed_over_that_would_fit(first: Candidate, ratio: float) -> None:
    """Where all recipes take as much more as the first, the second that is tried is the fastest below it that fits."""
    below = rungs(EVERY, first)
    limit = int(first.peak_bytes * ratio) + BESIDE - 1
    search = Search(limit, BESIDE, refused, {first: limit + 1})
    lower = next_rung(below, search, is_last=False)
    fitting = [one for one in below if one.family == first.family and search.seems_to_fit(one)]
    if fitting:
        assert lower == min(fitting, key=order)


def test_nothing_is_below_what_takes_least() -> None:
    """Not even where much is left over."""
    least = min(EVERY, key=lambda one: one.peak_bytes)
    search = Search(10**6, BESIDE, refused, {least: 2 * 10**6})
    assert next_rung(rungs(EVERY, least), search, is_last=False) is None
