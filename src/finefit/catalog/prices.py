"""Prices of GPUs by the hour, from a list that ages.

Knows: the rows of prices.csv, each with its date and source. A row's price is that of the whole machine of `count`
GPUs; where `up_to` is larger, the provider sells any multiple in one machine at the same price for each. Where sources
conflicted, the newest was taken and the note says what others say.
Does not know: whether a machine is free now, reserved terms, storage, traffic, taxes, several machines together.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files

from finefit.catalog.gpus import gpu_named, rows
from finefit.nouns.offer import CONFIDENCES, KIND_WORDS, KINDS, Kind, Offer, Price

COLUMNS = (
    "provider", "gpu", "count", "up_to", "kind", "usd_per_machine_hour", "instance", "region", "date", "confidence",
    "source", "note",
)  # fmt: skip

STAYS: tuple[Kind, ...] = ("on_demand", "community")
"""Kinds that anyone may rent at any length: what a plan costs unless another kind is asked for."""


@cache
def shipped() -> tuple[Price, ...]:
    text = (files("finefit.catalog") / "prices.csv").read_text(encoding="utf-8")
    return tuple(price_of(cells) for cells in csv.DictReader(text.splitlines()))


def price_of(cells: Mapping[str, str]) -> Price:
    """A row that is known to be right."""
    count = int(cells["count"])
    return Price(
        provider=cells["provider"],
        gpu=gpu_named(cells["gpu"]).name,
        count=count,
        up_to=int(cells["up_to"] or count),
        kind=next(kind for kind in KINDS if kind == cells["kind"]),
        usd_per_machine_hour=float(cells["usd_per_machine_hour"]),
        instance=cells["instance"],
        region=cells["region"],
        date=cells["date"],
        confidence=next(known for known in CONFIDENCES if known == cells["confidence"]),
        source=cells["source"],
        note=cells["note"],
    )


def offers(gpu_name: str, count: int, prices: Sequence[Price] | None = None) -> tuple[Offer, ...]:
    """Machines with exactly so many of this card, the cheapest first. `prices` stand for the shipped ones."""
    card = gpu_named(gpu_name).name
    known = shipped() if prices is None else prices
    found = [_offer(row, count) for row in known if row.gpu == card and row.sells(count)]
    return tuple(sorted(found, key=_order))


def cheapest(
    gpu_name: str, count: int, kinds: Collection[Kind] = STAYS, prices: Sequence[Price] | None = None
) -> Offer | None:
    """The first offer of these kinds, if there is one."""
    return next((offer for offer in offers(gpu_name, count, prices) if offer.kind in kinds), None)


def counts(gpu_name: str, prices: Sequence[Price]) -> tuple[int, ...]:
    """Numbers of this card that one machine is sold with."""
    card = gpu_named(gpu_name).name
    found = {n for row in prices if row.gpu == card for n in range(row.count, row.up_to + 1) if row.sells(n)}
    return tuple(sorted(found))


def overview(prices: Sequence[Price]) -> tuple[Offer, ...]:
    """Of each card, in the catalogue's order, the cheapest offer of each kind at the least number of GPUs."""
    found: list[Offer] = []
    for card in (row.name for row in rows() if row.gpu is not None):
        sold = counts(card, prices)
        least = offers(card, sold[0], prices) if sold else ()
        found += [next(offer for offer in least if offer.kind == kind) for kind in dict.fromkeys(o.kind for o in least)]
    return tuple(found)


def layered(*lists: Iterable[Price]) -> tuple[Price, ...]:
    """What a list says of a provider's card of one kind hides all that later lists say of it."""
    said: set[tuple[str, str, str]] = set()
    kept: list[Price] = []
    for prices in lists:
        new = [row for row in prices if _key(row) not in said]
        said |= {_key(row) for row in new}
        kept += new
    return tuple(kept)


def _key(row: Price) -> tuple[str, str, str]:
    return row.provider.casefold(), row.gpu, row.kind


def _order(offer: Offer) -> tuple[float, int, str, str, str]:
    return offer.usd_per_hour, KINDS.index(offer.kind), offer.provider.casefold(), offer.instance, offer.region


def _offer(row: Price, count: int) -> Offer:
    times = count // row.count
    return Offer(
        provider=row.provider,
        gpu=row.gpu,
        count=count,
        kind=row.kind,
        usd_per_hour=times * row.usd_per_machine_hour,
        instance=row.instance,
        region=row.region,
        date=row.date,
        confidence=row.confidence,
        source=row.source,
        why=_why(row, times),
        note=row.note,
    )


def _why(row: Price, times: int) -> str:
    unit = f"{row.usd_per_machine_hour:g} USD/h"
    what = row.instance or ("one GPU" if row.count == 1 else f"{row.count} GPUs")
    each = f"{times} x {unit} of {what}" if times > 1 else f"{unit} of {what}"
    when = f" ({row.date})" if row.date else ""
    return f"{each} at {row.provider}, {KIND_WORDS[row.kind]}{when}"
