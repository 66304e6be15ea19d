"""Offers by the hour, as a table and as JSON."""

from __future__ import annotations

import sys
from typing import Any

from finefit.nouns.offer import KIND_WORDS, Listing, Offer

from .terminal import console_on

CLOSING = "Listed prices: each was true on its date. --json has every source and the arithmetic."


def of_listing(listing: Listing) -> dict[str, Any]:
    return {"gpu": listing.asked or None, "counts": listing.counts, "offers": [vars(offer) for offer in listing.offers]}


def show(listing: Listing) -> None:
    from rich.table import Table

    console = console_on(sys.stdout)
    console.print(f"{listing.asked or 'Every card, at the least number of GPUs'}, by the hour", style="bold")
    if not listing.offers:
        console.print(_none(listing))
        return
    table = Table(box=None, pad_edge=False)
    for name, justify in COLUMNS:
        if name != "GPU" or not listing.asked:
            table.add_column(name, justify=justify, no_wrap=True)
    for offer in listing.offers:
        cells = _cells(offer)
        table.add_row(*(cells[1:] if listing.asked else cells))
    console.print(table)
    console.print(CLOSING)


COLUMNS: tuple[tuple[str, Any], ...] = (
    ("GPU", "left"), ("USD/h", "right"), ("provider", "left"), ("kind", "left"), ("machine", "left"), ("date", "left"),
    ("sure", "left"),
)  # fmt: skip


def _cells(offer: Offer) -> tuple[str, ...]:
    gpus = offer.gpu if offer.count == 1 else f"{offer.count}x{offer.gpu}"
    machine = " ".join(word for word in (offer.instance, offer.region) if word)
    kind = KIND_WORDS[offer.kind].partition(":")[0]
    return gpus, f"{offer.usd_per_hour:,.2f}", offer.provider, kind, machine, offer.date, offer.confidence


def _none(listing: Listing) -> str:
    if not listing.counts:
        return "no price is known of this card; FINEFIT_PRICES=FILE.csv names yours"
    return f"no machine with so many is listed; there are machines with {', '.join(map(str, listing.counts))}"
