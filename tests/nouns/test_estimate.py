"""Verdicts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from finefit.nouns.estimate import verdict_on
from finefit.nouns.ledger import Ledger
from finefit.nouns.machine import Gpu
from finefit.nouns.range import Range

ORDER = ("no", "tight", "fits")
BYTES = st.integers(0, 100)


@st.composite
def ledgers(draw: st.DrawFn) -> Ledger:
    low, typical, high = sorted(draw(st.tuples(BYTES, BYTES, BYTES)))
    smallest = draw(st.none() | BYTES)
    return Ledger(low, "backward", {}, (), 1, 1, device=Range(low, typical, high), smallest_bytes=smallest)


def card(vram: int, unknown: int = 0) -> Gpu:
    return Gpu("card", vram, (8, 0), unknown_bytes=unknown)


@given(ledgers(), BYTES, BYTES)
def test_a_larger_card_is_never_worse(ledger: Ledger, vram: int, more: int) -> None:
    """`no` becomes `tight` becomes `fits`, never back."""
    small, large = verdict_on(card(vram), ledger), verdict_on(card(vram + more), ledger)
    assert small is not None
    assert large is not None
    assert ORDER.index(small) <= ORDER.index(large)


@given(ledgers(), BYTES, st.integers(0, 20))
def test_what_the_driver_may_keep_is_not_counted_on(ledger: Ledger, vram: int, unknown: int) -> None:
    """`fits` without it; and it makes no `no`."""
    sure, unsure = verdict_on(card(vram), ledger), verdict_on(card(vram, unknown), ledger)
    assert (sure == "no") == (unsure == "no")
    assert unsure != "fits" or sure == "fits"


def test_the_borders_are_on_the_card() -> None:
    """To the byte: the worst case fits, the likely one is tight, and so is a run that empties its cache."""
    ledger = Ledger(10, "backward", {}, (), 1, 1, device=Range(10, 20, 30), smallest_bytes=15)
    verdicts = {vram: verdict_on(card(vram), ledger) for vram in (30, 29, 20, 19, 15, 14)}
    assert verdicts == {30: "fits", 29: "tight", 20: "tight", 19: "tight", 15: "tight", 14: "no"}
    assert [verdict_on(card(31, unknown), ledger) for unknown in (1, 2)] == ["fits", "tight"]


def test_without_a_range_only_too_many_tensors_are_a_verdict() -> None:
    """An older plan has no device range."""
    ledger = Ledger(10, "backward", {}, (), 1, 1)
    assert (verdict_on(card(9), ledger), verdict_on(card(10), ledger)) == ("no", None)
