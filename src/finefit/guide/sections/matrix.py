"""The GPUs asked about, in tiers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from finefit.catalog.prices import STAYS
from finefit.nouns.estimate import Estimate
from finefit.nouns.method import name_of
from finefit.nouns.planned import Planned
from finefit.show.words import checkpointing_words

from ..blocks import Bar, Block, Cell, Chart, Heading, Paragraph, Quantity, size, table
from ..subject import Missing, Subject
from ..words import device, duration, engine_words

Tier = Literal["highly recommended", "recommended", "feasible", "challenging", "not recommended"]
MEANING: dict[Tier, str] = {
    "highly recommended": "the method asked for fits at its highest memory, and no layer has to be recomputed",
    "recommended": "it fits, and some layers are recomputed",
    "feasible": "it fits with every layer recomputed",
    "challenging": "it fits with states or parameters in host memory, or only with a method that trains less",
    "not recommended": "nothing fits that was weighed",
}
COLUMNS = (
    "GPU", "memory of each", "method", "engine", "micro-batch", "recomputed", "device, at most", "speed",
    "the whole run", "cost of the run",
)  # fmt: skip


def matrix(subject: Subject) -> Iterator[Block]:
    yield Heading("GPUs in tiers")
    yield Paragraph(
        "For each, the fastest recipe whose highest memory is on the card. Tiers are defined by what it needs: "
        + "; ".join(f"{tier}: {meaning}" for tier, meaning in MEANING.items())
        + "."
    )
    yield from _matrix_section(subject)


def _matrix_section(subject: Subject) -> Iterator[Block]:
    found = {gpu: subject.planned(gpu) for gpu in subject.gpus}
    planned = {gpu: one for gpu, one in found.items() if isinstance(one, Planned)}
    for tier in MEANING:
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


def tier_of(subject: Subject, planned: Planned) -> Tier:
    choice = planned.choice
    if choice is None:
        return "not recommended"
    if choice.knobs.offload != "none" or name_of(choice.method) != subject.job.method:
        return "challenging"
    match choice.knobs.gradient_checkpointing:
        case 0:
            return "highly recommended"
        case "all":
            return "feasible"
        case count:
            return "feasible" if count >= subject.model.layers else "recommended"


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
