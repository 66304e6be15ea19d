"""A document as one HTML page: everything in it is in the file, and all that anybody else wrote is escaped."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from typing import assert_never

from .blocks import Block, Bullets, Cell, Chart, Code, Document, Heading, Paragraph, Quantity, Table
from .svg import svg

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #212529;
  background: #fff; }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto; }
th, td { border: 1px solid #ced4da; padding: 0.25rem 0.6rem; text-align: left; vertical-align: top; }
td.number { text-align: right; white-space: nowrap; }
pre { background: #f1f3f5; padding: 0.75rem; overflow-x: auto; }
svg { width: 100%; height: auto; }
@media (prefers-color-scheme: dark) {
  body { color: #dee2e6; background: #1a1b1e; } pre { background: #25262b; } th, td { border-color: #495057; }
}
"""
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def html(document: Document) -> str:
    title = escape(document.title)
    parts = [
        "<!doctype html>",
        '<html lang="en">',
        f'<head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}</title><style>{STYLE}</style></head>",
        f"<body><h1>{title}</h1>",
        *_contents(document),
        *(line for block in document.blocks for line in _lines(block)),
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def _contents(document: Document) -> Iterator[str]:
    heads = [block.text for block in document.blocks if isinstance(block, Heading) and block.level == 2]
    yield "<nav><ul>"
    yield from (f'<li><a href="#{_anchor(text)}">{words(text)}</a></li>' for text in heads)
    yield "</ul></nav>"


def words(text: str) -> str:
    """Escaped, with `code` between backticks."""
    pieces = text.split("`")
    if len(pieces) % 2 == 0:
        return escape(text)
    return "".join(
        f"<code>{escape(piece)}</code>" if number % 2 else escape(piece) for number, piece in enumerate(pieces)
    )


def _lines(block: Block) -> Iterator[str]:
    match block:
        case Heading(text, level):
            yield f'<h{level} id="{_anchor(text)}">{words(text)}</h{level}>'
        case Paragraph(text):
            yield f"<p>{words(text)}</p>"
        case Bullets(items, is_numbered):
            tag = "ol" if is_numbered else "ul"
            yield f"<{tag}>{''.join(f'<li>{words(item)}</li>' for item in items)}</{tag}>"
        case Table():
            yield from _table(block)
        case Chart():
            yield f"<figure>{svg(block)}</figure>"
        case Code(language, text):
            yield f'<pre><code class="language-{escape(language)}">{escape(text)}</code></pre>'
        case _:
            assert_never(block)


def _table(table: Table) -> Iterator[str]:
    yield "<table><thead><tr>" + "".join(f"<th>{words(name)}</th>" for name in table.columns) + "</tr></thead><tbody>"
    yield from ("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in table.rows)
    yield "</tbody></table>"


def _cell(cell: Cell) -> str:
    kind = ' class="number"' if isinstance(cell, Quantity) else ""
    return f"<td{kind}>{words(str(cell))}</td>"


def _anchor(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
