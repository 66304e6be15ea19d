"""Minimum, typical and maximum, and what makes the difference."""

from __future__ import annotations

from collections.abc import Iterator

from finefit.nouns.range import Range

from ..blocks import Block, Cell, Heading, Paragraph, size, table
from ..parts import at_peak
from ..subject import Subject
from ..words import device


def ranges(subject: Subject) -> Iterator[Block]:
    base = subject.base
    yield Heading("Minimum, typical, maximum")
    yield Paragraph(
        "Of the recipe. What is allocated follows from its tensors and has one value; what is reserved, and so what "
        "`nvidia-smi` shows, depends on the history of lengths, the card and the driver."
    )
    rows: list[tuple[Cell, ...]] = [(name, *(size(nbytes),) * 3) for name, nbytes in at_peak(base.ledger).items()]
    rows.append(("allocated", *(size(base.ledger.peak_bytes),) * 3))
    if base.ledger.reserved is not None:
        rows.append(("reserved", *_three(base.ledger.reserved)))
    rows.append(("on the device", *_three(device(base))))
    yield table(("what", "minimum", "typical", "maximum"), rows)
    reasons = [
        (reason.what, size(reason.below_bytes), size(reason.above_bytes), reason.basis, reason.why)
        for reason in device(base).reasons
    ]
    yield table(("reason", "less by", "more by", "this is", "why"), reasons)
    moments = [(name, size(nbytes)) for name, nbytes in base.ledger.moments.items()]
    if moments:
        yield Paragraph("Peaks of a whole run:")
        yield table(("moment", "allocated"), moments)


def _three(known: Range) -> tuple[Cell, ...]:
    return size(known.low), size(known.typical), size(known.high)
