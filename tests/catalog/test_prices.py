"""The shipped price list."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finefit.catalog.gpus import gpu_named, rows
from finefit.catalog.prices import STAYS, cheapest, counts, layered, offers, overview, shipped
from finefit.errors import BadInput
from finefit.nouns.offer import KINDS, Offer, Price

CARDS = sorted({row.gpu for row in shipped()})
ROW = Price("Lab", "GeForce RTX 4090", 1, 8, "on_demand", 0.5, "", "", "2026-11-21", "high", "a bill", "")

OLDEST = date(2026, 1, 1)
"""An older figure says little of what is asked now."""

cards, numbers = st.sampled_from(CARDS), st.integers(1, 16)


def test_every_price_is_of_a_card_that_we_know_and_says_since_when_and_from_where() -> None:
    """No row without its source and its day; none of a card that cannot be planned for."""
    for row in shipped():
        assert gpu_named(row.gpu).name == row.gpu
        assert row.source.strip(), row
        assert date.fromisoformat(row.date) >= OLDEST, row
        assert row.up_to % row.count == 0
        assert (row.usd_per_machine_hour == 0) == (row.kind == "free"), row


def test_no_price_is_there_twice() -> None:
    """A provider asks one price for a machine of one kind."""
    keys = [(row.provider, row.gpu, row.count, row.kind, row.instance, row.region) for row in shipped()]
    assert len(keys) == len(set(keys))


def test_the_clouds_that_people_name_are_there() -> None:
    """And most of the catalogue's NVIDIA cards, with each of the kinds."""
    known = {row.provider for row in shipped()}
    assert known >= {
        "Lambda", "RunPod", "Vast.ai", "AWS", "Google", "Azure", "CoreWeave", "Colab", "Kaggle", "Nebius", "Hyperstack",
    }  # fmt: skip
    assert {row.kind for row in shipped()} == set(KINDS)
    cuda = [row.name for row in rows() if row.gpu is not None]
    assert len(CARDS) > 0.75 * len(cuda)


@given(cards, numbers)
def test_the_cheapest_is_no_dearer_than_any_other(card: str, count: int) -> None:
    """Offers come in the order of their price, whatever the order of the list; those that stay are the default."""
    found = offers(card, count)
    assert [offer.usd_per_hour for offer in found] == sorted(offer.usd_per_hour for offer in found)
    assert offers(card, count, tuple(reversed(shipped()))) == found
    of_all, that_stays = cheapest(card, count, KINDS), cheapest(card, count)
    assert of_all == (found[0] if found else None)
    assert that_stays == next((offer for offer in found if offer.kind in STAYS), None)
    if that_stays is not None and of_all is not None:
        assert of_all.usd_per_hour <= that_stays.usd_per_hour


@given(cards, numbers)
def test_an_offer_is_one_machine_of_that_card_with_that_many(card: str, count: int) -> None:
    """Never two instances as one, never idle GPUs, never another card: its own price or a multiple."""
    for offer in offers(card, count):
        assert (offer.gpu, offer.count) == (card, count)
        rows_of_it = [
            row
            for row in shipped()
            if (row.provider, row.gpu, row.kind, row.instance, row.region, row.source)
            == (offer.provider, card, offer.kind, offer.instance, offer.region, offer.source)
        ]
        paid = [row for row in rows_of_it if offer.usd_per_hour == count / row.count * row.usd_per_machine_hour]
        assert any(row.count == count or (row.up_to >= count and not row.instance) for row in paid)
    assert bool(offers(card, count)) == (count in counts(card, shipped()))


def test_eight_cost_eight_times_or_are_a_machine_of_their_own() -> None:
    """The sentence says which."""
    by_provider = {(offer.provider, offer.kind): offer for offer in offers("H100-80GB", 8)}
    assert by_provider["AWS", "on_demand"].why.startswith("55.04 USD/h of p5.48xlarge at AWS")
    scaled = by_provider["RunPod", "on_demand"]
    one = next(o for o in offers("H100-80GB", 1) if (o.provider, o.kind) == ("RunPod", "on_demand"))
    assert scaled.usd_per_hour == pytest.approx(8 * one.usd_per_hour)
    assert scaled.why.startswith(f"8 x {one.usd_per_hour:g} USD/h of one GPU at RunPod")
    assert not any(offer.provider == "AWS" for offer in offers("H100-80GB", 4))


def test_what_is_sold_in_pairs_is_sold_in_pairs() -> None:
    """Up to the most of one machine, each pair at its price."""
    pairs = (replace(ROW, count=2, up_to=6),)
    assert counts(ROW.gpu, pairs) == (2, 4, 6)
    found = {n: [offer.usd_per_hour for offer in offers(ROW.gpu, n, pairs)] for n in range(1, 9)}
    assert found == {1: [], 2: [0.5], 3: [], 4: [1.0], 5: [], 6: [1.5], 7: [], 8: []}


def test_any_name_of_a_card_finds_its_offers() -> None:
    """As for estimates; a name of two cards is refused."""
    assert offers("4090", 1) == offers("NVIDIA GeForce RTX 4090", 1) != ()
    with pytest.raises(BadInput, match="may be any of"):
        offers("A100", 1)


def test_what_was_said_first_counts() -> None:
    """Of a provider's card of one kind, at every number; all else of later lists stays."""
    later = (replace(ROW, usd_per_machine_hour=0.4), replace(ROW, count=8, provider="LAB"), replace(ROW, kind="spot"))
    assert layered([ROW], later) == (ROW, later[2])
    assert layered(later, [ROW]) == later


def test_every_card_with_a_price_is_in_the_overview() -> None:
    """Each kind once, and none cheaper at that number."""
    found: dict[str, list[Offer]] = {}
    for offer in overview(shipped()):
        found.setdefault(offer.gpu, []).append(offer)
    assert sorted(found) == CARDS
    for card, those in found.items():
        assert {offer.count for offer in those} == {counts(card, shipped())[0]}
        assert len({offer.kind for offer in those}) == len(those)
        assert those[0] == offers(card, those[0].count)[0]
