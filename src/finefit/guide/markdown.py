"""A document as Markdown. What a text says is never taken for markup, but for `code` between backticks;
a chart is a table, where none beside it says the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import assert_never

from .blocks import Block, Bullets, Chart, Code, Document, Heading, Paragraph, Quantity, Table, names_of

SPECIAL = re.compile(r"([\\*_\[\]<>|#])")


def markdown(document: Document) -> str:
    told = [block for block in document.blocks if not (isinstance(block, Chart) and block.is_told)]
    parts = [f"# {escaped(document.title)}", *("\n".join(_lines(block)) for block in told)]
    return "\n\n".join(parts) + "\n"


def escaped(text: str) -> str:
    """Outside of backticks, which nothing is escaped in but the bar of a table."""
    pieces = text.replace("\n", " ").split("`")
    if len(pieces) % 2 == 0:
        return SPECIAL.sub(r"\\\1", text.replace("`", "'"))
    return "".join(
        f"`{piece.replace('|', chr(92) + '|')}`" if number % 2 else SPECIAL.sub(r"\\\1", piece)
        for number, piece in enumerate(pieces)
    )


def _lines(block: Block) -> Iterator[str]:
    match block:
        case Heading(text, level):
            yield f"{'#' * level} {escaped(text)}"
        case Paragraph(text):
            yield escaped(text)
        case Bullets(items, is_numbered):
            for number, item in enumerate(items, 1):
                yield f"{f'{number}.' if is_numbered else '-'} {escaped(item)}"
        case Table():
            yield from _table(block)
        case Chart():
            yield f"**{escaped(block.title)}**"
            yield ""
            yield from _table(as_table(block))
        case Code(language, text):
            yield f"```{language}"
            yield text.rstrip("\n")
            yield "```"
        case _:
            assert_never(block)


def _table(table: Table) -> Iterator[str]:
    aligned = ["---:" if _is_number(table, place) else "---" for place in range(len(table.columns))]
    yield _row(table.columns)
    yield f"|{'|'.join(aligned)}|"
    for row in table.rows:
        yield _row([str(cell) for cell in row])


def _row(cells: tuple[str, ...] | list[str]) -> str:
    return f"| {' | '.join(escaped(cell) for cell in cells)} |"


def _is_number(table: Table, place: int) -> bool:
    return bool(table.rows) and any(isinstance(row[place], Quantity) for row in table.rows)


def as_table(chart: Chart) -> Table:
    names = names_of(chart)
    single = len(names) == 1
    columns = ("", *names) if single else ("", *names, "together")
    rows = []
    for bar in chart.bars:
        sizes = dict(bar.parts)
        cells = [Quantity(sizes[name], chart.unit) if name in sizes else "–" for name in names]
        total = Quantity(sum(sizes.values()), chart.unit)
        rows.append((bar.label, *cells) if single else (bar.label, *cells, total))
    return Table(columns, tuple(rows))
