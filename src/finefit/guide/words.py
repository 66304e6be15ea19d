"""Sentences and cells that several sections share."""

from __future__ import annotations

from collections.abc import Iterable

from finefit.catalog.gpus import rows
from finefit.nouns.engine import words_of
from finefit.nouns.estimate import Estimate
from finefit.nouns.machine import Gpu
from finefit.nouns.method import name_of
from finefit.nouns.range import Range
from finefit.show.words import checkpointing_words
from finefit.units import GIB

from .blocks import Cell, Paragraph, Quantity
from .subject import Hours, Missing

TOUCHES = {
    "nothing": "nothing",
    "how it is rounded": "how numbers are rounded",
    "what is read": "which tokens are read",
    "what is learnt": "what is learnt",
}


def missing(what: str, found: Missing) -> Paragraph:
    return Paragraph(f"{what} is not computed here: {found.why}.")


def engine_words(estimate: Estimate) -> str:
    return "one GPU" if estimate.engine is None else words_of(estimate.engine)


def recipe_words(estimate: Estimate) -> str:
    knobs = estimate.knobs
    return (
        f"{name_of(estimate.method)}, {knobs.per_device_train_batch_size} × {knobs.gradient_accumulation_steps} "
        f"sequences of {knobs.max_length:,} tokens on each GPU, {checkpointing_words(knobs.gradient_checkpointing)} "
        f"recomputed, {engine_words(estimate)}"
    )


def device(estimate: Estimate) -> Range:
    """Of a GPU."""
    found = estimate.ledger.device
    return Range(*(estimate.ledger.peak_bytes,) * 3) if found is None else found


def between(known: Range) -> Quantity:
    return Quantity(known.low, "bytes", known.high)


def duration(hours: Hours | None) -> Cell:
    return "–" if hours is None else Quantity(hours.seconds, "seconds", about=True)


def duration_range(hours: Hours | None) -> Cell:
    return "–" if hours is None else Quantity(hours.low, "seconds", hours.high)


def holding(nbytes: int) -> Gpu | None:
    """Of the catalogue's cards, one of the smallest that hold so much."""
    cards = [row.gpu for row in rows() if row.gpu is not None and row.gpu.sure_bytes >= nbytes]
    return min(cards, key=lambda card: card.vram_bytes, default=None)


def smallest_card(nbytes: int) -> str:
    """`24 GB, such as GeForce RTX 4090`"""
    card = holding(nbytes)
    if card is None:
        return "more than one card has"
    sold = next(row.memory_gb for row in rows() if row.gpu is not None and row.gpu.name == card.name)
    return f"{sold} GB ({card.name})"


def listed(names: Iterable[str]) -> str:
    found = list(names)
    return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]}"


def gib(nbytes: float) -> str:
    return f"{nbytes / GIB:.2f} GiB"
