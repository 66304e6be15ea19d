"""Where to rent: prices with their dates, and what the machines are."""

from __future__ import annotations

from collections.abc import Iterator

from finefit.catalog.clouds import machines_with
from finefit.nouns.cloud import CloudMachine
from finefit.nouns.method import name_of
from finefit.nouns.offer import KIND_WORDS, Offer
from finefit.nouns.planned import Planned
from finefit.world.gpus import machine_named

from ..blocks import Block, Cell, Heading, Paragraph, Quantity, table
from ..subject import Missing, Subject, card_of

SHOWN = 4
"""Offers of a GPU, each of another provider."""
FREE_CARDS = ("Tesla T4", "Tesla P100 PCIe 16GB", "2xTesla T4")


def clouds(subject: Subject) -> Iterator[Block]:
    yield Heading("Clouds and prices")
    yield Paragraph(
        "Listed prices by the hour of the whole machine, the cheapest of each provider; each was true on its date, and "
        "none is asked for again as this is written. `finefit prices GPU --json` has every source."
    )
    rows = [row for gpu in subject.gpus for row in _offers(subject, gpu)]
    if rows:
        yield table(("GPUs", "provider", "kind", "by the hour", "the whole run", "date", "sure"), rows)
    unsold = [gpu for gpu in subject.gpus if not subject.offers(gpu)]
    if unsold:
        yield Paragraph(f"No machine with exactly these is on the list: {', '.join(unsold)}.")
    yield Heading("Free", 3)
    yield from _free(subject)
    yield Heading("Machines", 3)
    yield from _machines(subject)


def _offers(subject: Subject, gpu: str) -> Iterator[tuple[Cell, ...]]:
    planned = subject.planned(gpu)
    first: dict[str, Offer] = {}
    for offer in subject.offers(gpu):
        first.setdefault(offer.provider, offer)
    choice = None if isinstance(planned, Missing) else planned.choice
    hours = None if choice is None else subject.hours(choice)
    for offer in list(first.values())[:SHOWN]:
        run: Cell = "–" if hours is None else Quantity(hours.seconds / 3600 * offer.usd_per_hour, "USD", about=True)
        price = Quantity(offer.usd_per_hour, "USD/h")
        yield machine_named(gpu).name, _seller(offer), KIND_WORDS[offer.kind], price, run, offer.date, offer.confidence


def _seller(offer: Offer) -> str:
    return " ".join(word for word in (offer.provider, offer.instance, offer.region) if word)


def _free(subject: Subject) -> Iterator[Block]:
    rows: list[tuple[Cell, ...]] = []
    for gpu in FREE_CARDS:
        for offer in subject.offers(gpu):
            if offer.kind == "free":
                planned = subject.planned(gpu)
                rows.append((machine_named(gpu).name, _seller(offer), _fits(planned), offer.note, offer.date))
    if rows:
        yield table(("GPUs", "provider", "fits the method asked, or one that needs less", "terms", "date"), rows)
    else:
        yield Paragraph("No free GPU is on the list.")


def _fits(planned: Planned | Missing) -> str:
    if isinstance(planned, Missing):
        return f"not known: {planned.why}"
    if planned.choice is None:
        return "no"
    method = name_of(planned.choice.method)
    return f"yes, {method}"


def _machines(subject: Subject) -> Iterator[Block]:
    rows = [
        _machine(one)
        for gpu in dict.fromkeys(subject.gpus)
        for one in machines_with(card_of(gpu), machine_named(gpu).count)
    ]
    if rows:
        columns = ("provider", "machine", "GPUs", "virtual CPUs", "memory", "disk", "network", "links", "source")
        yield table(columns, rows)
    else:
        yield Paragraph("No machine with exactly these GPUs is in the catalogue.")


def _machine(one: CloudMachine) -> tuple[Cell, ...]:
    unknown = "not known"
    return (
        one.provider,
        one.instance or "–",
        f"{one.count}x{one.gpu}",
        Quantity(one.vcpus, "CPUs") if one.vcpus else unknown,
        Quantity(one.host_ram_gib * 2**30, "bytes") if one.host_ram_gib else unknown,
        Quantity(one.local_disk_gb * 1e9, "bytes") if one.local_disk_gb else unknown,
        Quantity(one.network_gbps, "Gbit/s") if one.network_gbps else unknown,
        one.link or unknown,
        one.source,
    )
