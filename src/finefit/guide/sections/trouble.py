"""When it runs out of memory, and when it is slow: what to do, in this order."""

from __future__ import annotations

from collections.abc import Iterator

from finefit.search.advice import best

from ..blocks import Block, Bullets, Heading, Paragraph, Quantity
from ..subject import Subject
from ..words import TOUCHES, device, gib
from .tips import advice

MANY = 8


def trouble(subject: Subject) -> Iterator[Block]:
    yield Heading("Out of memory, and other trouble")
    yield Paragraph(
        "Read the message: `Tried to allocate` names one tensor, and `reserved but unallocated` what the allocator "
        "holds in pieces. Then, what loses the least time first, computed for the recipe:"
    )
    given = best(advice(subject), "give up", MANY)
    yield Bullets(tuple(_step(one.what, one.saved_bytes, one.time_lost, TOUCHES[one.touches]) for one in given), True)
    known = device(subject.base)
    wide = [reason for reason in known.reasons if reason.above_bytes]
    fragments = max(wide, key=lambda reason: reason.above_bytes).what if wide else "nothing"
    yield Bullets(
        (
            "Much reserved but unallocated: `PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True` (not on Windows), or "
            f"`expandable_segments: true` in a job. Here the widest cause of more than is likely is: {fragments}.",
            f"Out of memory at the first step: a recipe of {gib(subject.base.ledger.peak_bytes)} of tensors does not "
            "get smaller later; change it. At a later step: a longer row came; cut rows or put the longest first.",
            "Out of memory while loading: weights are read in another precision than planned; set `dtype`.",
            "Out of memory while evaluating: whole logits are kept; lower `per_device_eval_batch_size`.",
            "Killed without a message: it was the host's memory, not the GPU's; the table of host memory says what "
            "loading and offload take.",
            "Loss becomes `nan` in float16: gradients underflow; DeepSpeed's `loss_scale: 0` scales them by itself, "
            "and bfloat16 needs no scaling on cards that compute in it.",
        )
    )


def _step(what: str, saved: int, lost: float, touches: str) -> str:
    time = Quantity(100 * lost, "%", is_signed=True)
    return f"{what}: {gib(saved)} less, {time} time, touches {touches}"
