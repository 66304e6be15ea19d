"""Each GPU asked about: whether it does, its memory, a ready job file, and what to change."""

from __future__ import annotations

from collections.abc import Iterator

from finefit.nouns.advice import Direction
from finefit.nouns.estimate import Estimate
from finefit.nouns.method import name_of
from finefit.nouns.planned import Planned
from finefit.search.advice import best
from finefit.show.words import verdict_words
from finefit.units import human_bytes

from ..blocks import Block, Bullets, Cell, Code, Heading, Paragraph, Quantity, size, table
from ..ready import job_file
from ..subject import Missing, Subject
from ..tiers import tier_of
from ..words import TOUCHES, between, device, duration_range, recipe_words
from .matrix import cost

READY = "Ready to run, as `job.yaml`:"
READY_FOR_SEVERAL = (
    "As `job.yaml`, which `finefit plan` reads; `finefit train` runs on one GPU so far, so on several these are the "
    "settings for a launcher of your own:"
)


def cards(subject: Subject) -> Iterator[Block]:
    yield Heading("Each GPU in detail")
    for gpu in subject.gpus:
        planned = subject.planned(gpu)
        if isinstance(planned, Missing):
            yield Heading(gpu, 3)
            yield Paragraph(f"Not planned: {planned.why}.")
            continue
        yield Heading(planned.machine.name, 3)
        yield Paragraph(f"Feasibility: {tier_of(subject, planned)}. {_feasibility(planned)}")
        if planned.choice is not None:
            yield from _chosen(subject, gpu, planned.choice)
        yield from _advice(planned)
        yield from _passed_over(planned)
        yield from map(Paragraph, (f"Note: {note}." for note in planned.notes))


def _feasibility(planned: Planned) -> str:
    if planned.choice is not None:
        words = verdict_words(planned.choice)
        return f"{words[0].upper()}{words[1:]}. The recipe: {recipe_words(planned.choice)}."
    if planned.nearest is None:
        return "No recipe could be weighed: what no tape knows was left out."
    known = device(planned.nearest)
    return (
        f"Nothing fits. What lacks least is {recipe_words(planned.nearest)}: it takes {human_bytes(known.low)} to "
        f"{human_bytes(known.high)} of each GPU."
    )


def _chosen(subject: Subject, gpu: str, one: Estimate) -> Iterator[Block]:
    yield table(("what", "value"), list(_figures(subject, gpu, one)))
    yield Paragraph(READY if one.machine.count == 1 else READY_FOR_SEVERAL)
    yield Code("yaml", job_file(subject.job, one, name_of(one.method)))


def _figures(subject: Subject, gpu: str, one: Estimate) -> Iterator[tuple[str, Cell]]:
    card, known, count = one.machine.gpu, device(one), one.machine.count
    assert card is not None
    yield "memory there is, of each GPU", size(card.vram_bytes)
    if count > 1:
        yield "memory there is, together", size(card.vram_bytes * count)
    yield "allocated at the peak", size(one.ledger.peak_bytes)
    yield "on the device", between(known)
    yield "left, where it takes most", size(card.sure_bytes - known.high)
    if one.pace is not None:
        yield "speed", Quantity(one.pace.slowest, "tokens/s", one.pace.fastest)
        slowest = max(one.pace.shares, key=lambda share: share.seconds)
        part = Quantity(100 * slowest.seconds / one.pace.step_seconds, "%")
        yield f"most of a step's time: {slowest.what}", part
    yield "the whole run", duration_range(subject.hours(one))
    yield "cost of the run", cost(subject, gpu, one)
    if one.host is not None:
        yield "host memory", size(one.host.ram_bytes)
        yield "disk", size(one.host.disk_bytes)


DIRECTIONS: tuple[Direction, ...] = ("give up", "spend")


def _advice(planned: Planned) -> Iterator[Block]:
    rows = [
        (
            "give up" if one.direction == "give up" else "spend",
            one.what,
            Quantity(one.after.high_bytes, "bytes", about=not one.after.is_checked),
            Quantity(100 * one.time_lost, "%", is_signed=True),
            TOUCHES[one.touches],
            "yes" if one.fits else "no",
        )
        for direction in DIRECTIONS
        for one in best(planned.advice, direction)
    ]
    if rows:
        yield Paragraph("To need less, or to use what is left, one change at a time:")
        yield table(("direction", "change", "device, at most", "time for the same tokens", "touches", "fits"), rows)


def _passed_over(planned: Planned) -> Iterator[Block]:
    if planned.passed_over:
        yield Paragraph(f"Passed over, of {planned.weighed:,} recipes weighed:")
        yield Bullets(tuple(f"{one.what}: {one.why}" for one in planned.passed_over[:8]))
