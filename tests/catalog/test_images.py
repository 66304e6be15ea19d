"""Image sizes against the processors of transformers, which need no torchvision for these."""

from __future__ import annotations

import random
from typing import Any

import pytest

from finefit.catalog.images import PIXELS, refused, shown
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


QWEN = ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"]


@pytest.mark.parametrize("model_type", QWEN)
def test_qwen_patches_are_the_processors(model_type: str) -> None:
    """At any size an image has as many patches as transformers' processor counts, and a quarter of them as tokens."""
    config, processor = qwen(model_type)
    for width, height in SIZES:
        found = shown(config, Images(width, height, 2))
        assert found is not None
        patches = processor.get_number_of_image_patches(height, width)
        assert found.entries["pixel_values"].shape[0] == 2 * patches
        assert found.runs == (patches // 4, patches // 4)


@pytest.mark.parametrize("model_type", QWEN)
@pytest.mark.parametrize("size", [(28, 5600), (28, 5601), (4201, 21), (4200, 21)])
def test_what_is_refused_is_what_the_processor_refuses(model_type: str, size: tuple[int, int]) -> None:
    """No image that it takes, and every one that it does not."""
    config, processor = qwen(model_type)
    try:
        processor.get_number_of_image_patches(size[1], size[0])
    except ValueError:
        assert refused(config, size)
    else:
        assert not refused(config, size)


@pytest.mark.parametrize("model_type", QWEN)
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


def picture(width: int, height: int) -> Any:
    import numpy as np

    return np.zeros((height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("model_type", ["idefics3", "smolvlm"])
def test_tiles_are_the_processors(model_type: str) -> None:
    """At any size an image has as many tiles as transformers' processor makes of it, in tensors of these shapes."""
    pytest.importorskip("PIL")
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
    from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

    made_by = Idefics3ImageProcessorPil if model_type == "idefics3" else SmolVLMImageProcessorPil
    processor = made_by(size={"longest_edge": 4 * 16}, max_image_size={"longest_edge": 16})
    vision = {"image_size": 16, "patch_size": 8}
    config = {"model_type": model_type, "image_token_id": 9, "scale_factor": 2, "vision_config": vision}
    for width, height in SIZES[1:]:
        if max(width, height) > 32 * min(width, height):
            continue  # the processor makes a side of nothing
        found = shown(config, Images(width, height, 2))
        assert found is not None
        made = processor([[picture(width, height)] * 2], return_tensors="pt")
        assert {name: (tuple(value.shape), str(value.dtype)) for name, value in made.items()} == {
            name: (entry.shape, f"torch.{entry.dtype}") for name, entry in found.entries.items()
        }, (width, height)
        assert found.runs == (1,) * found.entries["pixel_values"].shape[1]


def test_any_image_is_one_square_to_llava() -> None:
    """336 pixels, 576 tokens, in tensors of the processor's shape."""
    pytest.importorskip("PIL")
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    config = {"model_type": "llava", "image_token_index": 9, "vision_config": {"image_size": 336, "patch_size": 14}}
    processor = CLIPImageProcessorPil(size={"shortest_edge": 336}, crop_size={"height": 336, "width": 336})
    for width, height in SIZES[1:6]:
        found = shown(config, Images(width, height, 2))
        assert found is not None
        assert found.runs == (576, 576)
        made = processor([picture(width, height)] * 2, return_tensors="pt")
        assert tuple(made["pixel_values"].shape) == found.entries["pixel_values"].shape


def test_a_model_that_does_not_see_has_no_images() -> None:
    """A model of language alone shows nothing."""
    assert shown({"model_type": "llama"}, Images(640, 480)) is None
