"""The GPUs asked about, in tiers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from finefit.catalog.prices import STAYS
from finefit.nouns.estimate import Estimate
from finefit.nouns.matrix import Tier
from finefit.nouns.method import name_of
from finefit.nouns.planned import Planned
from finefit.search.tiers import legend
from finefit.show.words import checkpointing_words

from ..blocks import Bar, Block, Bullets, Cell, Chart, Heading, Paragraph, Quantity, size, table
from ..subject import Missing, Subject
from ..tiers import tier_of
from ..words import device, duration, engine_words

COLUMNS = (
    "GPU", "memory of each", "method", "engine", "micro-batch", "recomputed", "device, at most", "speed",
    "the whole run", "cost of the run",
)  # fmt: skip


def matrix(subject: Subject) -> Iterator[Block]:
    yield Heading("GPUs in tiers")
    yield Paragraph(
        "For each, the fastest recipe whose highest memory is on the card: of the method asked for, else of one that "
        "needs less. Tiers are those of `finefit matrix`, beside as many of every other card of the catalogue:"
    )
    yield Bullets(legend())
    yield from _matrix_section(subject)


def _matrix_section(subject: Subject) -> Iterator[Block]:
    found = {gpu: subject.planned(gpu) for gpu in subject.gpus}
    planned = {gpu: one for gpu, one in found.items() if isinstance(one, Planned)}
    for tier in get_args(Tier):
        of_tier = {gpu: one for gpu, one in planned.items() if tier_of(subject, one) == tier}
        if of_tier:
            yield Heading(tier[0].upper() + tier[1:], 3)
            yield table(COLUMNS, [_row(subject, gpu, one) for gpu, one in of_tier.items()])
    choices = {gpu: one.choice for gpu, one in planned.items() if one.choice is not None}
    bars = [Bar(one.machine.name, (("tokens/s", one.pace.tokens_per_second),)) for one in choices.values() if one.pace]
    if bars:
        yield Chart("Speed of the chosen recipe, all GPUs of a machine together", "tokens/s", tuple(bars), is_told=True)
    for gpu, missed in found.items():
        if isinstance(missed, Missing):
            yield Paragraph(f"{gpu}: not planned, {missed.why}.")


def _row(subject: Subject, gpu: str, planned: Planned) -> tuple[Cell, ...]:
    card = planned.machine.gpu
    assert card is not None
    first: tuple[Cell, ...] = (planned.machine.name, size(card.vram_bytes))
    one = planned.choice
    if one is None:
        least = planned.nearest
        lacks: Cell = "–" if least is None else size(device(least).high)
        return (*first, "–" if least is None else name_of(least.method), "–", "–", "–", lacks, "–", "–", "–")
    return (
        *first,
        name_of(one.method),
        engine_words(one),
        Quantity(one.knobs.per_device_train_batch_size, "sequences"),
        checkpointing_words(one.knobs.gradient_checkpointing),
        size(device(one).high),
        "–" if one.pace is None else Quantity(one.pace.tokens_per_second, "tokens/s"),
        duration(subject.hours(one)),
        cost(subject, gpu, one),
    )


def cost(subject: Subject, gpu: str, one: Estimate) -> Cell:
    """At the cheapest offer that anyone may rent at any length."""
    offer = next((offer for offer in subject.offers(gpu) if offer.kind in STAYS), None)
    hours = subject.hours(one)
    if offer is None or hours is None:
        return "no price is known"
    each = offer.usd_per_hour / 3600
    return Quantity(hours.low * each, "USD", hours.high * each)
