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
            assert model.source == f"bundled {row.file}"
            assert model.layers > 0


def test_a_hub_id_is_kept() -> None:
    """A tuned variant's weights lie under its own id, not under its base's; a short name means the base."""
    for row in rows():
        for id in (row.name, *row.aliases):
            model = model_named(id.upper())
            assert model is not None
            assert model.id == (id if "/" in id else row.name)


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


@pytest.mark.parametrize(
    ("variant", "base"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Llama-3.1-8B"),
        ("meta-llama/Llama-3.2-1B-Instruct", "meta-llama/Llama-3.2-1B"),
        ("meta-llama/Llama-3.2-3B-Instruct", "meta-llama/Llama-3.2-3B"),
        ("meta-llama/Llama-3.3-70B-Instruct", "meta-llama/Llama-3.1-70B"),
        ("deepseek-ai/DeepSeek-R1-Distill-Llama-8B", "meta-llama/Llama-3.1-8B"),
        ("deepseek-ai/DeepSeek-R1-Distill-Llama-70B", "meta-llama/Llama-3.1-70B"),
        ("mistralai/Mistral-7B-Instruct-v0.1", "mistralai/Mistral-7B-v0.1"),
        ("mistralai/Mistral-7B-Instruct-v0.3", "mistralai/Mistral-7B-v0.3"),
        ("mistralai/Mistral-Nemo-Instruct-2407", "mistralai/Mistral-Nemo-Base-2407"),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", "mistralai/Mixtral-8x7B-v0.1"),
        *((f"Qwen/Qwen2-{size}-Instruct", f"Qwen/Qwen2-{size}") for size in ("0.5B", "1.5B", "7B", "72B")),
        *(
            (f"Qwen/Qwen2.5-{size}-Instruct", f"Qwen/Qwen2.5-{size}")
            for size in ("0.5B", "1.5B", "3B", "7B", "14B", "32B", "72B")
        ),
        *((f"Qwen/Qwen3-{size}-Base", f"Qwen/Qwen3-{size}") for size in ("0.6B", "1.7B", "4B", "8B", "14B", "30B-A3B")),
        *((f"google/gemma-2-{size}-it", f"google/gemma-2-{size}") for size in ("2b", "9b", "27b")),
        ("google/gemma-3-270m-it", "google/gemma-3-270m"),
        *((f"google/gemma-3-{size}-it", f"google/gemma-3-{size}-pt") for size in ("1b", "4b", "12b", "27b")),
        *(
            (f"HuggingFaceTB/SmolLM2-{size}-Instruct", f"HuggingFaceTB/SmolLM2-{size}")
            for size in ("135M", "360M", "1.7B")
        ),
        ("HuggingFaceTB/SmolLM3-3B-Base", "HuggingFaceTB/SmolLM3-3B"),
        ("allenai/OLMoE-1B-7B-0924-Instruct", "allenai/OLMoE-1B-7B-0924"),
        ("ibm-granite/granite-3.1-2b-instruct", "ibm-granite/granite-3.1-2b-base"),
    ],
)
def test_a_tuned_variant_is_its_base(variant: str, base: str) -> None:
    """Weights of one architecture are one configuration, by every hub id."""
    found, expected = model_named(variant), model_named(base)
    assert found is not None
    assert expected is not None
    assert found.config == expected.config
