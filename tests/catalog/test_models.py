"""Bundled configurations."""

from __future__ import annotations

import csv
from importlib.resources import files

import pytest

from finefit.catalog.models import model_named, names, rows


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.name)
def test_every_word_means_its_row(row) -> None:
    """Hub id, alias and the part after the slash, in any case of letters, name one model alone."""
    for word in row.words:
        for spelling in (word, word.upper()):
            model = model_named(spelling)
            assert model is not None
            assert model.id == row.name
            assert model.layers > 0


def test_no_word_means_two_models() -> None:
    """Full names are unique; a short one that several share would silently be the first."""
    words = [word for row in rows() for word in set(row.words)]
    assert len(words) == len(set(words))


def test_every_row_says_where_it_is_from() -> None:
    """Facts have sources."""
    text = (files("finefit.catalog") / "models.csv").read_text(encoding="utf-8")
    assert all(cells["source"] for cells in csv.DictReader(text.splitlines()))


def test_other_words_mean_nothing() -> None:
    """An unknown name is no model."""
    assert model_named("nobody/nothing") is None
    assert "openai-community/gpt2" in names()
