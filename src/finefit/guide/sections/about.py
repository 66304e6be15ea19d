"""What the numbers rest on."""

from __future__ import annotations

from collections.abc import Iterator

from ..blocks import Block, Bullets, Heading, Paragraph, table
from ..subject import Subject


def about(subject: Subject) -> Iterator[Block]:
    base = subject.base
    yield Heading("What these numbers rest on")
    yield Paragraph(
        "Memory: `measured` is somebody's measurement, `derived` arithmetic from a source, `guessed` neither; each "
        "range "
        "names its reasons by these. How far earlier predictions were off is in the project's accuracy page. No number "
        "here was measured on the GPUs named."
    )
    yield table(("library", "version it was computed for"), [(name, f"`{of}`") for name, of in base.stack.items()])
    if base.notes:
        yield Bullets(base.notes)
