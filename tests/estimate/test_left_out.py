"""Notes on what a model has and the figures do not."""

from __future__ import annotations

import pytest

from finefit.catalog.models import model_named
from finefit.estimate.left_out import EXPERTS, left_out
from finefit.nouns.images import Images
from finefit.nouns.knobs import Knobs
from finefit.nouns.model import Model

KNOBS = Knobs(max_length=64)


def test_a_plain_model_has_nothing_left_out() -> None:
    llama = model_named("meta-llama/Llama-3.1-8B")
    assert llama is not None
    assert left_out(llama, None, KNOBS) == ()


@pytest.mark.parametrize("key", EXPERTS)
@pytest.mark.parametrize(("kind", "words"), [("olmoe", "no byte moves"), ("jetmoe", "is not known")])
def test_experts_are_said_to_be_even_or_not_to_matter(key: str, kind: str, words: str) -> None:
    """By the model's type, in a configuration of its own or of a part; one expert is none."""
    config = {"model_type": kind, key: 8}
    assert [words in note for note in left_out(Model("x", config), None, KNOBS)] == [True]
    assert [words in note for note in left_out(Model("x", {"text_config": config}), None, KNOBS)] == [True]
    assert left_out(Model("x", config | {key: 1}), None, KNOBS) == ()


def test_a_tower_without_images_is_named() -> None:
    seeing = Model("x", {"vision_config": {}})
    assert "text alone" in " ".join(left_out(seeing, None, KNOBS))
    assert left_out(seeing, Images(8, 8), KNOBS) == ()
