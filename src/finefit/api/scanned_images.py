"""What a scan of a data file finds of its images."""

from __future__ import annotations

from collections.abc import Sequence

from finefit.lower.images import placeholders_of
from finefit.nouns.images import InRows, LongRow, Size
from finefit.nouns.model import Model
from finefit.tables import place
from finefit.world.rows import Rows


def shown_in(path: str, rows: Rows, model: Model | None, lengths: Sequence[int]) -> InRows:
    """`lengths`: of each row, with all that its images become where a model is given."""
    by_area: list[Size] = sorted((size for shown in rows.shown for size in shown), key=lambda size: size[0] * size[1])
    found = InRows(sum(map(bool, rows.shown)), by_area[0], by_area[-1], None)
    if model is None:
        return found
    images = [placeholders_of(model, sizes) for sizes in rows.sizes]

    def told(row: int) -> LongRow:
        return LongRow(place(path, rows.lines[row]), lengths[row], images[row])

    numbers = range(len(lengths))
    return InRows(
        rows=found.rows,
        smallest=found.smallest,
        largest=found.largest,
        image_tokens=sum(images),
        longest=told(max(numbers, key=lambda row: lengths[row])),
        longest_text=told(max(numbers, key=lambda row: lengths[row] - images[row])),
    )
