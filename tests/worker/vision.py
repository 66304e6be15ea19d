"""Small models that see, one of each family, and the images of their rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from recipes import SMALL, merged, orders

from finefit.catalog.images import shown
from finefit.lower.images import words_of
from finefit.nouns.images import Images

MROPE = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]}


def qwen2_vl() -> dict[str, Any]:
    return {
        "model_type": "qwen2_vl",
        "tie_word_embeddings": True,
        "image_token_id": 500,
        "video_token_id": 501,
        "vision_start_token_id": 502,
        "vision_end_token_id": 503,
        "text_config": {**SMALL, "model_type": "qwen2_vl_text", "rope_parameters": MROPE},
        "vision_config": {
            "model_type": "qwen2_vl_vision",
            "depth": 2,
            "embed_dim": 32,
            "hidden_size": 64,
            "num_heads": 2,
            "mlp_ratio": 4,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
        },
    }


FAMILIES: Mapping[str, tuple[Callable[[], dict[str, Any]], Images]] = {
    "qwen2_vl": (qwen2_vl, Images(120, 80, 2)),
}


def seeing(family: str, images: Images | None = None, **changes: Any) -> dict[str, Any]:
    """A small recipe whose rows show images, on the processor."""
    make, usual = FAMILIES[family]
    config = make()
    known = shown(config, images or usual)
    assert known is not None
    order = orders(rehearsal={"images": words_of(known), "length": max(96, known.least_length + 8)})
    order["model"]["config"] = config
    return merged(order, changes)


FROZEN = {"frozen": True, "checkpointed": None}
