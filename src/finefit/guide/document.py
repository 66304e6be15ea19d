"""The sections, in the order in which a reader meets them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .blocks import Block, Document, Paragraph
from .sections.about import about
from .sections.cards import cards
from .sections.clouds import clouds
from .sections.components import components
from .sections.host import host
from .sections.matrix import matrix
from .sections.monitoring import monitoring
from .sections.needs import needs
from .sections.overview import overview
from .sections.processor import processor
from .sections.ranges import ranges
from .sections.selection import selection
from .sections.sharded import sharded
from .sections.sizes import sizes
from .sections.tips import tips
from .sections.trouble import trouble
from .sections.zero import zero
from .subject import Subject

Section = Callable[[Subject], Iterator[Block]]

SECTIONS: tuple[Section, ...] = (
    overview, components, sharded, matrix, cards, selection, zero, needs, sizes, ranges, processor, host, clouds, tips,
    monitoring, trouble, about,
)  # fmt: skip


def document(subject: Subject, say: Callable[[str], None] = lambda _: None) -> Document:
    blocks: list[Block] = [Paragraph(OPENING), *([Paragraph(QUICK)] if subject.is_quick else [])]
    for number, section in enumerate(SECTIONS, 1):
        say(f"{section.__name__}: section {number} of {len(SECTIONS)}")
        blocks += section(subject)
    return Document(f"Hardware requirements: fine-tuning {subject.model.id}", tuple(blocks))


OPENING = (
    "Made by `finefit guide`. Every number in a table was computed when this was written: memory by rehearsing the "
    "real training step and replaying its allocations, time from what the step computes, moves and starts, prices from "
    "a dated list. GiB are 2^30 bytes. A range is as wide as its reasons; none of it was measured on the GPUs named."
)
QUICK = "Written with `--quick`: what would have needed a rehearsal was left out, and each place says so."
