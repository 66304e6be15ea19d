"""Blocks in Markdown and in HTML."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.dom import minidom

import pytest

from finefit.guide.blocks import Bar, Bullets, Chart, Code, Document, Heading, Paragraph, Quantity, size, table
from finefit.guide.html import html
from finefit.guide.markdown import markdown
from finefit.guide.svg import svg

EVIL = "<script>alert('x')</script> | `a` & [b](c)"
ODD = "one ` <img src=x onerror=y> alone"
CHART = Chart(
    "what <takes> it", "bytes", (Bar("one & all", (("weights", 3.0), ("rest", 1.0))), Bar("two", (("rest", 2.0),)))
)
BLOCKS = (
    Heading("A section"),
    Paragraph(EVIL),
    Paragraph(ODD),
    Bullets(("first", EVIL), is_numbered=True),
    table(("what", "memory"), [(EVIL, size(2**31)), ("b", Quantity(1, "sequences"))]),
    CHART,
    Code("yaml", f"model: {EVIL}\n"),
)  # fmt: skip
PAGE = Document(EVIL, BLOCKS)
TAGS = {"html", "head", "meta", "title", "style", "body", "nav", "ul", "ol", "li", "a", "h1", "h2", "h3", "p", "table",
        "thead", "tbody", "tr", "th", "td", "figure", "svg", "text", "rect", "pre", "code"}  # fmt: skip


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def test_html_is_only_ours() -> None:
    """What anybody else wrote becomes text: no tag, no attribute and no address comes from it."""
    page = html(PAGE)
    tags = Tags()
    tags.feed(page)
    assert {tag for tag, _ in tags.seen} <= TAGS
    assert "<script" not in page
    for _, attributes in tags.seen:
        assert not any(name.startswith("on") or name == "src" for name in attributes)
        assert not str(attributes.get("href", "#")).lstrip("#").count(":")


def test_html_needs_no_network() -> None:
    """The page says so itself, and names no address but that of SVG's own language."""
    page = html(PAGE)
    assert "default-src 'none'" in page
    assert set(re.findall(r"https?://[^\"' <]+", page)) <= {"http://www.w3.org/2000/svg"}


def test_a_drawing_is_xml() -> None:
    """Labels are escaped, and every part is drawn."""
    drawn = minidom.parseString(svg(CHART))
    assert len(drawn.getElementsByTagName("rect")) == 3 + 2  # parts, and a key for each name


def test_markdown_rows_have_as_many_cells_as_columns() -> None:
    """Whatever a cell says."""
    rows = [line for line in markdown(PAGE).splitlines() if line.startswith("|")]
    assert rows
    for line in rows:
        assert len(re.findall(r"(?<!\\)\|", line)) in (3, 5)


def test_a_drawing_that_a_table_tells_is_left_out_of_markdown() -> None:
    """Its numbers are there once."""
    told = Document("t", (Chart("drawn", "bytes", (Bar("a", (("b", 1.0),)),), is_told=True),))
    assert "drawn" not in markdown(told)
    assert "drawn" in html(told)


@pytest.mark.parametrize(
    ("quantity", "words"),
    [
        (Quantity(2**31, "bytes"), "2.00 GiB"),
        (Quantity(1, "sequences"), "1 sequence"),
        (Quantity(2, "sequences"), "2 sequences"),
        (Quantity(-(2**30), "bytes", is_signed=True), "-1.00 GiB"),
        (Quantity(5, "%", is_signed=True), "+5 %"),
        (Quantity(60, "seconds", 3600), "1 min 00 s to 1 h 00 min"),
        (Quantity(3600 * 72, "seconds", about=True), "about 3.0 days"),
    ],
)
def test_a_quantity_says_its_unit(quantity: Quantity, words: str) -> None:
    """In words that people use."""
    assert str(quantity) == words
