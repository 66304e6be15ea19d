"""What images cost, as a user asks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from vision import qwen2_vl

from finefit import api
from finefit.errors import BadInput
from finefit.nouns.estimate import Estimate
from finefit.nouns.images import Images
from finefit.nouns.knobs import Knobs
from finefit.nouns.method import LoRA
from finefit.show.json import of_estimate

pytestmark = pytest.mark.xdist_group("images")


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Estimate]:
    """Of a small model, with and without images, its tower trained or frozen."""
    folder = tmp_path_factory.mktemp("seeing")
    shallow, deep = folder / "shallow", folder / "deep"
    for config, text in ((shallow, {}), (deep, {"num_hidden_layers": 8})):
        config.mkdir()
        told = qwen2_vl()
        (config / "config.json").write_text(json.dumps(told | {"text_config": told["text_config"] | text}))
    patch = pytest.MonkeyPatch()
    patch.setenv("FINEFIT_CACHE", str(folder / "cache"))
    asked: dict[str, dict[str, Any]] = {
        "text": {},
        "small": {"images": Images(112, 112)},
        "large": {"images": Images(420, 420)},
        "two": {"images": Images(420, 420, 2)},
        "frozen": {"images": Images(420, 420), "freeze_vision_tower": True},
    }
    try:
        found = {name: _answer(shallow, **words) for name, words in asked.items()}
        return found | {"deep": _answer(deep, **asked["small"])}
    finally:
        patch.undo()


def _answer(folder: Path, images: Images | None = None, **knobs: Any) -> Estimate:
    return api.estimate(str(folder), method=LoRA(), knobs=Knobs(max_length=600, **knobs), gpu="RTX4090", images=images)


def test_images_cost_and_larger_ones_cost_more(answers: dict[str, Estimate]) -> None:
    """At one length: no image, a small one, a large one, two."""
    peaks = [answers[name].ledger.peak_bytes for name in ("text", "small", "large", "two")]
    assert peaks == sorted(set(peaks))


def test_a_frozen_tower_costs_less(answers: dict[str, Estimate]) -> None:
    """Less is trained, and its weights have no adapters; they are there all the same."""
    frozen, trained = answers["frozen"].ledger, answers["large"].ledger
    assert frozen.trainable_parameters < trained.trainable_parameters
    assert frozen.peak_bytes < trained.peak_bytes


def test_the_ledger_names_the_tower(answers: dict[str, Estimate]) -> None:
    """Its weights are a line of their own beside the others', and what it keeps for backward is too."""
    lines = {line.what: line.nbytes for line in answers["large"].ledger.lines}
    assert lines["vision tower: weights"] > 0
    assert lines["weights"] > 0
    assert any(what.startswith("vision tower:") and "weights" not in what for what in lines)


def test_json_says_the_images(answers: dict[str, Estimate]) -> None:
    """So that the recipe can be pinned again from what it says of itself."""
    recipe = of_estimate(answers["two"])["recipe"]
    assert (recipe["image_size"], recipe["images"], recipe["freeze_vision_tower"]) == ("420x420", 2, False)
    assert of_estimate(answers["text"])["recipe"]["image_size"] is None


def test_few_layers_stood_for_all(answers: dict[str, Estimate]) -> None:
    """Where there are many: no rehearsal of every layer was needed."""
    assert not [note for note in answers["deep"].notes if "every layer" in note]


def test_text_alone_says_so(answers: dict[str, Estimate]) -> None:
    """Where nothing is said of images, the answer tells how to say it."""
    assert any("--image-size" in note for note in answers["text"].notes)
    assert not answers["large"].notes


def test_images_that_have_no_room_are_bad_input(tmp_path: Path) -> None:
    """Before anything is rehearsed."""
    (tmp_path / "config.json").write_text(json.dumps(qwen2_vl()))
    with pytest.raises(BadInput, match="too few for the images"):
        _answer(tmp_path, Images(2000, 2000))
