"""A data file on a terminal."""

from __future__ import annotations

import pytest

from finefit.nouns.data_report import Check, DataReport, Example, Piece
from finefit.show.data import MOST_LETTERS, show

EXAMPLE = Example("rows.jsonl:1", 4, (Piece("Q ", False), Piece("A<|end|>", True), Piece("x" * 2000, False)))
REPORT = DataReport(
    "rows.jsonl", "messages", "messages: as they are", 3, (), (), (), 0, (10, 20, 40), 30, "guessed", 32,
    ("rows.jsonl:3",), (EXAMPLE,), (Check("ends", True, ""), Check("begins", False, "it does not")),
)  # fmt: skip


def test_what_is_trained_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    """Also without colours; a long piece is shown from both ends, and what is left out is counted."""
    show(REPORT)
    said = capsys.readouterr().out
    assert "Q ⟦A<|end|>⟧xxx" in said
    assert f"{2000 - MOST_LETTERS:,} letters" in said
    assert "trained     42.9 % of all tokens" in said
    assert "ok: ends" in said
    assert "WRONG: begins: it does not" in said
    assert "32: 1 rows are longer" in said
