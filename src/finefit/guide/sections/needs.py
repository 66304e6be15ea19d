"""What full fine-tuning, LoRA, QLoRA, DPO and inference need, and the card that is enough."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from finefit.nouns.estimate import Estimate
from finefit.nouns.job import Job
from finefit.nouns.method import LoRA, QLoRA
from finefit.show.words import adapter_words

from ..blocks import Bar, Block, Cell, Chart, Heading, Paragraph, Quantity, size, table
from ..subject import Missing, Subject
from ..words import between, device, missing, smallest_card

WRITTEN = 128
"""Tokens of an answer."""


def needs(subject: Subject) -> Iterator[Block]:
    yield Heading("What each kind of work needs")
    yield Paragraph(
        "On one GPU, with the recipe's micro-batch, length and checkpointing. `enough, likely` is the smallest card of "
        "the catalogue that holds the likely memory, `enough, surely` the smallest that holds the highest. Inference "
        f"reads one prompt of {subject.length:,} tokens and writes {WRITTEN}."
    )
    asked = {name: subject.estimate(job) for name, job in _jobs(subject).items()}
    known = {name: one for name, one in asked.items() if isinstance(one, Estimate)}
    yield table(
        ("work", "likely", "range", "enough, likely", "enough, surely", "trained", "speed there"),
        [_row(name, one) for name, one in known.items()],
    )
    bars = tuple(Bar(name, (("likely memory", device(one).typical),)) for name, one in known.items())
    yield Chart("Likely memory of the GPU by kind of work", "bytes", bars, is_told=True)
    for name, one in asked.items():
        if isinstance(one, Missing):
            yield missing(name, one)
    yield from _adapters(subject)


def _jobs(subject: Subject) -> Mapping[str, Job]:
    own = subject.job.method if subject.job.method != "full" else "lora"
    writes = replace(
        subject.with_method("full"), task="generate", per_device_train_batch_size=1, gradient_checkpointing="none",
        max_new_tokens=WRITTEN, dtype=None, mixed_precision=None, image_size=None,
    )  # fmt: skip
    return {
        "full fine-tuning": subject.with_method("full"),
        "LoRA": subject.with_method("lora"),
        "QLoRA, 4 bits": subject.with_method("qlora4"),
        f"DPO with {own}": subject.with_method(own, task="dpo"),
        "inference, 16 bits": writes,
        "inference, 4 bits": replace(writes, method="qlora4", base=True),
    }


def _row(name: str, one: Estimate) -> tuple[Cell, ...]:
    known = device(one)
    trained: Cell = "–" if one.pace is None else Quantity(one.ledger.trainable_parameters, "parameters")
    speed: Cell = "–" if one.pace is None else Quantity(one.pace.tokens_per_second, "tokens/s")
    enough = smallest_card(known.typical), smallest_card(known.high)
    return (name, size(known.typical), between(known), *enough, trained, speed)


def _adapters(subject: Subject) -> Iterator[Block]:
    one = subject.estimate(subject.with_method("lora"))
    if isinstance(one, Missing) or not isinstance(one.method, LoRA | QLoRA):
        return
    trained, frozen = one.ledger.trainable_parameters, one.ledger.parameters - one.ledger.trainable_parameters
    yield Paragraph(
        f"An adapter ({adapter_words(one.method)}) of a matrix has rank × (inputs + outputs) parameters: here "
        f"{trained:,} together, {100 * trained / frozen:.2f} % of the {frozen:,} that stay frozen. DPO compares two "
        "answers, so each row is two sequences, and the reference is the model with its adapters off."
    )
