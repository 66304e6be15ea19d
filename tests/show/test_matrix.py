"""The matrix in every format."""

from __future__ import annotations

import csv
import json
from html.parser import HTMLParser
from io import StringIO

import pytest

from finefit.api import matrix
from finefit.catalog.gpus import gpu_named
from finefit.nouns.job import Job
from finefit.nouns.matrix import Matrix
from finefit.show.matrix import FORMATS, TITLES, cells, of_row


@pytest.fixture(scope="module")
def made() -> Matrix:
    cards = [gpu_named(name) for name in ("RTX4090", "RTX3070", "T4")]
    return matrix(Job(model="llama-3.2-1b", data=""), gpus=cards, counts=(1, 2))


class Cells(HTMLParser):
    """The texts of a table's cells, row by row; and every address."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.linked: list[str] = []
        self.is_cell = False

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.linked += [value or "" for name, value in attributes if name in ("src", "href")]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.is_cell = True
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self.is_cell = False

    def handle_data(self, data: str) -> None:
        if self.is_cell:
            self.rows[-1][-1] += data


def test_every_format_has_the_same_rows(made: Matrix) -> None:
    """In the same order, with the same figures."""
    expected = [list(cells(row)) for row in made.rows]
    markdown = [line.strip("| ").split(" | ") for line in FORMATS["markdown"](made).splitlines() if line[:1] == "|"]
    assert [cell.strip() for cell in markdown[0]] == list(TITLES)
    for line, known in zip(markdown[2:], expected, strict=True):
        assert [cell.strip(" |") for cell in line][:5] == known[:5]
        assert [cell for cell in known if cell][-1] in " ".join(line)
    html = Cells()
    html.feed(FORMATS["html"](made))
    assert html.rows == [list(TITLES), *expected]
    told = json.loads(FORMATS["json"](made))["rows"]
    assert told == json.loads(json.dumps([of_row(row) for row in made.rows]))
    sheet = list(csv.DictReader(StringIO(FORMATS["csv"](made))))
    assert [{key: "" if value is None else str(value) for key, value in row.items()} for row in told] == sheet


def test_json_keeps_the_contract(made: Matrix) -> None:
    """Each row has what programs may rely on."""
    names = {
        "gpu",
        "count",
        "method",
        "verdict",
        "tier",
        "zero_stage",
        "micro_batch",
        "tokens_per_second",
        "hours",
        "cost",
    }
    for row in json.loads(FORMATS["json"](made))["rows"]:
        assert names <= row.keys()


def test_a_page_stands_alone_and_is_escaped() -> None:
    """A name is never markup, and nothing is fetched."""
    made = matrix(Job(model="llama-3.2-1b", data=""), gpus=[gpu_named("RTX4090")], counts=(1,))
    page = FORMATS["html"](Matrix(**{**vars(made), "model": "<script>alert(1)</script>"}))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "<svg" in page
    assert "<circle" in page
    found = Cells()
    found.feed(page)
    assert found.linked == []
