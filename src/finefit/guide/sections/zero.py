"""ZeRO's stages: what each divides, what that saves, what it sends, and when to use which."""

from __future__ import annotations

import json
from collections.abc import Iterator

from finefit.catalog.optimizers import OPTIMIZERS, state_bytes
from finefit.nouns.engine import DeepSpeed, ZeroStage
from finefit.nouns.estimate import Estimate

from ..blocks import Block, Bullets, Cell, Code, Heading, Paragraph, Quantity, size, table
from ..subject import REFERENCE, Missing, Subject, card_of
from ..words import device, missing
from .sharded import COUNTS, STAGES

HALF, FLOAT = 2, 4
CONSUMER = "GeForce RTX 4090"
LOOKED_AT = 4
"""GPUs whose links are compared."""
CARDS = 3
TRIED: tuple[tuple[str, ZeroStage | None, str], ...] = (
    *((name.partition(":")[0], stage, "none") for name, stage in STAGES),
    ("ZeRO 3, states and parameters in host memory", 3, "all"),
)


def zero(subject: Subject) -> Iterator[Block]:
    yield Heading("ZeRO stages: what they save and what they cost")
    yield Bullets(
        (
            "ZeRO 1 divides the optimizer's state, and the float32 copy of what is trained, among the GPUs; each keeps "
            "all weights and all gradients.",
            "ZeRO 2 divides gradients too, so each GPU keeps those of its own part.",
            "ZeRO 3 divides the parameters too: each layer is gathered for its forward and again for its backward "
            "pass.",
        )
    )
    yield Heading("What each stage divides", 3)
    yield from _saved(subject)
    yield Heading("What each stage sends", 3)
    yield from _sent(subject)
    yield Heading("When to use which", 3)
    yield from _when(subject)
    yield from _configuration(subject)


def _saved(subject: Subject) -> Iterator[Block]:
    ledger = subject.base.ledger
    trained, weights = ledger.trainable_parameters, HALF * ledger.parameters
    moments = sum(state_bytes(OPTIMIZERS.get(subject.base.knobs.optim, OPTIMIZERS["adamw_torch"]), trained))
    gradients, states = HALF * trained, FLOAT * trained + moments
    yield Paragraph(
        f"Weights of {ledger.parameters:,} parameters and gradients of {trained:,} in half precision, a float32 copy "
        f"and {subject.base.knobs.optim}'s states of what is trained; arithmetic from the counts, beside which come "
        "activations, buckets and what the allocator keeps (the tables of each GPU above have them)."
    )
    rows: list[tuple[Cell, ...]] = []
    for stage in (0, 1, 2, 3):
        cells: list[Cell] = []
        for count in COUNTS:
            kept = weights / (count if stage == 3 else 1) + gradients / (count if stage > 1 else 1)
            kept += states / (count if stage else 1)
            cells += [size(kept), Quantity(100 * (kept / (weights + gradients + states) - 1), "%", is_signed=True)]
        rows.append((f"ZeRO {stage}", *cells))
    columns = [word for count in COUNTS for word in (f"states on each of {count} GPUs", "against ZeRO 0")]
    yield table(("stage", *columns), rows)


def _sent(subject: Subject) -> Iterator[Block]:
    yield Paragraph(
        "In one optimizer step, by each GPU, on a card whose GPUs are linked directly and on one whose GPUs reach each "
        "other through the host: volumes are those of ring algorithms, and waiting is what no kernel hides. Derived, "
        "not measured; CUDA's peers on GeForce cards are taken for half of PCIe's rate."
    )
    rows, reasons = [], []
    for card in (REFERENCE, CONSUMER):
        for name, stage in STAGES:
            one = subject.estimate(subject.sharded(subject.job.method, card, LOOKED_AT, stage))
            if isinstance(one, Missing):
                reasons.append(one.why)
            elif one.pace is not None:
                waits = sum(share.seconds for share in one.pace.shares if share.what == "waiting for links")
                part = Quantity(100 * waits / one.pace.step_seconds, "%")
                first = (f"{LOOKED_AT}x{card}", name.partition(":")[0])
                speed = Quantity(one.pace.tokens_per_second, "tokens/s")
                rows.append((*first, size(one.pace.sent_bytes), Quantity(waits, "seconds"), part, speed))
    if rows:
        yield table(("GPUs", "engine", "sent in a step", "waiting", "of the step", "speed"), rows)
    for why in dict.fromkeys(reasons):
        yield missing("What is not in the table", Missing(why))


def _when(subject: Subject) -> Iterator[Block]:
    yield Paragraph(
        "The rule: the first in this order whose highest memory is on the card, since each divides more "
        "than the one before and sends no less: "
        + ", ".join(name for name, *_ in TRIED)
        + ". With the recipe's micro-batch:"
    )
    rows = []
    for card in _cards(subject):
        for count in COUNTS:
            name, one = _first(subject, card, count)
            rows.append((f"{count}x{card}", name, "–" if one is None else size(device(one).high)))
    yield table(("GPUs", "first that fits", "each GPU, at most"), rows)
    yield Paragraph(
        "On one GPU no stage divides anything: ZeRO is of use there for its offload alone. With adapters there is "
        "little to divide but the frozen weights, which only stage 3 does."
    )


def _cards(subject: Subject) -> list[str]:
    return list(dict.fromkeys(card_of(gpu) for gpu in subject.gpus))[:CARDS]


def _first(subject: Subject, card: str, count: int) -> tuple[str, Estimate | None]:
    unknown = False
    for name, stage, offload in TRIED:
        one = subject.estimate(subject.sharded(subject.job.method, card, count, stage, offload))
        if isinstance(one, Missing):
            unknown = True
        elif one.verdict == "fits":
            return name, one
    return ("not known: see above" if unknown else "none of them"), None


def _configuration(subject: Subject) -> Iterator[Block]:
    one = subject.estimate(subject.sharded(subject.job.method, REFERENCE, LOOKED_AT, 3))
    if isinstance(one, Missing) or not isinstance(one.engine, DeepSpeed):
        return
    buckets = one.engine.buckets
    half = "fp16" if one.knobs.mixed_precision == "fp16" else "bf16"
    words = {
        "zero_optimization": {
            "stage": 3,
            "overlap_comm": buckets.overlap_comm,
            "reduce_bucket_size": buckets.reduce_bucket_size,
            "stage3_prefetch_bucket_size": buckets.stage3_prefetch_bucket_size,
            "stage3_param_persistence_threshold": buckets.stage3_param_persistence_threshold,
            "stage3_max_live_parameters": buckets.stage3_max_live_parameters,
            "stage3_max_reuse_distance": buckets.stage3_max_reuse_distance,
            "sub_group_size": buckets.sub_group_size,
        },
        half: {"enabled": True},
        "train_micro_batch_size_per_gpu": one.knobs.per_device_train_batch_size,
        "gradient_accumulation_steps": one.knobs.gradient_accumulation_steps,
    }
    yield Paragraph(
        "The `ds_config.json` that stage 3 was computed with; for another stage change the number, and leave out the "
        "`stage3_` keys. Offload adds `offload_optimizer` and `offload_param` with device `cpu`."
    )
    yield Code("json", json.dumps(words, indent=2))
