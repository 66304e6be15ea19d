"""`prices`: what GPUs cost by the hour."""

from __future__ import annotations

from datetime import date

from finefit.catalog.prices import counts, offers, overview
from finefit.errors import BadInput, Problem
from finefit.nouns.offer import Listing
from finefit.world import prices as price_lists
from finefit.world.gpus import machine_named
from finefit.world.refresh import refreshed


def prices(gpu: str = "", refresh: bool = False) -> Listing:
    """What machines with these GPUs cost by the hour, like `8xH100-80GB`; or each card's cheapest offers."""
    machine = machine_named(gpu) if gpu else None
    if machine is not None and machine.gpu is None:
        raise BadInput(Problem("no GPU is here" if gpu == "auto" else "the processor has no price", hint="name a GPU"))
    notes: tuple[str, ...] = ()
    if refresh:
        new = refreshed(date.today())
        price_lists.keep(new)
        notes = (f"{len(new)} prices of today are kept in {price_lists.kept_at()}",)
    known = price_lists.prices()
    if machine is None or machine.gpu is None:
        return Listing("", overview(known), notes=notes)
    card = machine.gpu.name
    return Listing(machine.name, offers(card, machine.count, known), counts(card, known), notes)
