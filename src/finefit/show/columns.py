"""Hundreds of rows in columns, for a terminal: in a hundredth of the time that a table of rich takes, which measures
every cell again and again."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

Line = tuple[Sequence[str], str]
"""Cells, the last of which may be missing, and a style of rich's."""
LEAST = 10
"""Characters of the column that wraps."""


def in_columns(titles: Sequence[str], lines: Sequence[Line], right: Collection[int], wraps: int, width: int) -> Text:
    """`right`: columns of numbers; `wraps`: the one that gives way where all are wider than `width`."""
    from rich.text import Text

    widths = [
        max(len(title), *(len(cell) for cell in column))
        for title, column in zip(titles, _columns(lines, len(titles)), strict=True)
    ]
    beside = sum(widths) - widths[wraps] + len(widths) - 1
    widths[wraps] = min(widths[wraps], max(LEAST, width - beside))
    text = Text(no_wrap=True, overflow="ignore", end="")
    for cells, style in [(titles, "bold"), *lines]:
        for line in _broken(cells, wraps, widths[wraps]):
            placed = (
                cell.rjust(size) if number in right else cell.ljust(size)
                for number, (cell, size) in enumerate(zip(line, widths, strict=False))
            )
            text.append(" ".join(placed).rstrip() + "\n", style)
    return text


def _columns(lines: Sequence[Line], count: int) -> list[list[str]]:
    return [[cells[number] for cells, _ in lines if number < len(cells)] or [""] for number in range(count)]


def _broken(cells: Sequence[str], wraps: int, width: int) -> Iterator[Sequence[str]]:
    """As many lines as the column that wraps needs."""
    if len(cells) <= wraps or len(cells[wraps]) <= width:
        yield cells
        return
    first, *more = wrap(cells[wraps], width)
    yield [*cells[:wraps], first, *cells[wraps + 1 :]]
    for words in more:
        yield [*[""] * wraps, words]
