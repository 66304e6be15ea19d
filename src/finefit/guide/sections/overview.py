"""The model, what is asked of it, and the answer in short."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from finefit.nouns.estimate import Estimate
from finefit.show.words import checkpointing_words, count_words, kernel_words, method_words
from finefit.units import human_bytes

from ..blocks import Block, Cell, Heading, Paragraph, Quantity, size, table
from ..parts import WEIGHTS, at_peak
from ..subject import Missing, Subject
from ..words import device, engine_words, recipe_words, smallest_card


def overview(subject: Subject) -> Iterator[Block]:
    base = subject.base
    yield Heading("Model overview")
    yield table(("what", "value"), [*_model(subject), *_weights(subject)])
    yield Heading("The recipe", 3)
    yield Paragraph(
        "The tables of components, of precisions, of ZeRO and of methods take this recipe apart. Where a GPU is "
        "planned for, micro-batch, accumulation and checkpointing are chosen anew for it; what is trained stays, and "
        "where it does not fit, what needs less is tried and named."
    )
    yield table(("what", "value"), _recipe(base))
    yield Heading("In short", 3)
    yield Paragraph(_in_short(base))
    yield from _choices(subject)


def _model(subject: Subject) -> Iterator[tuple[str, Cell]]:
    config, ledger = subject.model.config, subject.base.ledger
    text = config.get("text_config") or config
    yield "model", f"`{subject.model.id}`"
    yield "architecture", str(config.get("model_type", "not said"))
    yield "parameters", Quantity(ledger.parameters - _adapters(subject.base), "parameters")
    yield "layers", Quantity(subject.model.layers, "layers")
    for name, key in (("hidden size", "hidden_size"), ("vocabulary", "vocab_size")):
        if _number(text, key):
            yield name, Quantity(text[key], "")
    if _number(text, "max_position_embeddings"):
        yield "longest sequence it was made for", Quantity(text["max_position_embeddings"], "tokens")
    yield "configuration", subject.model.source


def _number(config: Any, key: str) -> bool:
    return isinstance(config.get(key), int)


def _adapters(estimate: Estimate) -> int:
    trained = estimate.ledger.trainable_parameters
    return 0 if estimate.method.__class__.__name__ == "Full" else trained


def _weights(subject: Subject) -> Iterator[tuple[str, Cell]]:
    count = subject.base.ledger.parameters - _adapters(subject.base)
    yield "weights in float32 (4 bytes each)", size(4 * count)
    yield "weights in bfloat16 or float16 (2 bytes each)", size(2 * count)
    packed = subject.estimate(subject.with_method("qlora4"))
    if isinstance(packed, Estimate):
        what = "weights in 4 bits (nf4; what bitsandbytes does not pack stays as it is)"
        yield what, size(at_peak(packed.ledger)[WEIGHTS])


def _recipe(base: Estimate) -> Iterator[tuple[str, Cell]]:
    knobs = base.knobs
    yield "trained", f"{method_words(base.method)}: {count_words(base.ledger.trainable_parameters)} parameters"
    yield "micro-batch", Quantity(knobs.per_device_train_batch_size, "sequences")
    yield "sequence", Quantity(knobs.max_length, "tokens")
    if base.images is not None:
        yield "images", f"{base.images.count} of {base.images.width} × {base.images.height} in each sequence"
    yield "accumulation", Quantity(knobs.gradient_accumulation_steps, "times")
    yield "recomputed", checkpointing_words(knobs.gradient_checkpointing)
    yield "precision", f"{knobs.dtype} weights, mixed precision {knobs.mixed_precision}"
    yield "kernels", kernel_words(knobs)
    yield "engine", engine_words(base)


def _in_short(base: Estimate) -> str:
    known = device(base)
    return (
        f"This recipe takes {human_bytes(base.ledger.peak_bytes)} of tensors at its peak, in "
        f"{base.ledger.peak_phase}, and {human_bytes(known.low)} to {human_bytes(known.high)} of a GPU's memory, "
        f"likely {human_bytes(known.typical)}. The smallest card that holds the likely figure has "
        f"{smallest_card(known.typical)}; the smallest that holds the highest, {smallest_card(known.high)}."
    )


def _choices(subject: Subject) -> Iterator[Block]:
    found = [(gpu, subject.planned(gpu)) for gpu in subject.gpus]
    fitting = [(gpu, one.choice) for gpu, one in found if not isinstance(one, Missing) and one.choice is not None]
    if not fitting:
        yield Paragraph("On none of the GPUs asked about does any recipe fit that was weighed.")
        return
    timed = [(gpu, choice) for gpu, choice in fitting if choice.pace is not None]
    fastest = max(timed, key=lambda pair: pair[1].pace.tokens_per_second if pair[1].pace else 0.0)
    least = min(fitting, key=lambda pair: (pair[1].machine.gpu.vram_bytes if pair[1].machine.gpu else 0, pair[0]))
    yield Paragraph(
        f"Of the GPUs asked about, the fastest is {fastest[1].machine.name} ({recipe_words(fastest[1])}); the one with "
        f"the least memory on which something fits is {least[1].machine.name} ({recipe_words(least[1])})."
    )
