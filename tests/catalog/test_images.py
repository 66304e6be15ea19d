"""Image sizes against the processors of transformers, which need no torchvision for these."""

from __future__ import annotations

import random
from typing import Any

import pytest

from finefit.catalog.images import PIXELS, shown
from finefit.nouns.images import Images

SIZES = [(1, 1), (28, 28), (640, 480), (1024, 1024), (37, 4999), (4000, 3000), (9000, 7000), (14, 2000)]
RANDOM = random.Random(1)
SIZES += [(RANDOM.randint(20, 3000), RANDOM.randint(20, 3000)) for _ in range(30)]


def qwen(model_type: str) -> tuple[dict[str, Any], Any]:
    """A configuration, and transformers' own processor with the published limits."""
    pytest.importorskip("PIL")
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    patch = 16 if model_type == "qwen3_vl" else 14
    fewest, most = PIXELS[model_type]
    processor = Qwen2VLImageProcessorPil(patch_size=patch, size={"shortest_edge": fewest, "longest_edge": most})
    return {"model_type": model_type, "vision_config": {"patch_size": patch}}, processor


@pytest.mark.parametrize("model_type", ["qwen2_vl"])
def test_qwen_patches_are_the_processors(model_type: str) -> None:
    """At any size an image has as many patches as transformers' processor counts, and a quarter of them as tokens."""
    config, processor = qwen(model_type)
    for width, height in SIZES:
        found = shown(config, Images(width, height, 2))
        assert found is not None
        patches = processor.get_number_of_image_patches(height, width)
        assert found.entries["pixel_values"].shape[0] == 2 * patches
        assert found.runs == (patches // 4, patches // 4)


@pytest.mark.parametrize("model_type", ["qwen2_vl"])
def test_qwen_tensors_are_the_processors(model_type: str) -> None:
    """What the processor makes of two real pictures has these shapes, dtypes and grids."""
    import numpy as np
    import torch

    config, processor = qwen(model_type)
    picture = np.zeros((90, 200, 3), dtype=np.uint8)
    made = processor([picture, picture], return_tensors="pt")
    found = shown(config, Images(200, 90, 2))
    assert found is not None
    assert {name: (tuple(value.shape), str(value.dtype)) for name, value in made.items()} == {
        name: (entry.shape, f"torch.{entry.dtype}") for name, entry in found.entries.items()
    }
    assert torch.equal(made["image_grid_thw"], torch.tensor(found.entries["image_grid_thw"].values))


def test_a_model_that_does_not_see_has_no_images() -> None:
    """A model of language alone shows nothing."""
    assert shown({"model_type": "llama"}, Images(640, 480)) is None
