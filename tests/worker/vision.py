"""Small models that see, one of each family, and the images of their rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from recipes import SMALL, merged, orders

from finefit.catalog.images import shown
from finefit.lower.images import words_of
from finefit.nouns.images import Images

MROPE = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]}
TOWER = {"hidden_size": 32, "out_hidden_size": 64, "intermediate_size": 48, "num_heads": 2}


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


def qwen2_5_vl() -> dict[str, Any]:
    vision = TOWER | {
        "model_type": "qwen2_5_vl_vision",
        "depth": 3,
        "patch_size": 14,
        "window_size": 112,
        "fullatt_block_indexes": [1],
    }
    return _later("qwen2_5_vl", {"rope_parameters": MROPE}, vision)


def qwen3_vl() -> dict[str, Any]:
    """What the tower sees midway is added after the first two layers."""
    vision = TOWER | {
        "model_type": "qwen3_vl_vision",
        "depth": 4,
        "patch_size": 16,
        "num_position_embeddings": 64,
        "deepstack_visual_indexes": [0, 2],
    }
    rope = {**MROPE, "mrope_interleaved": True}
    return _later("qwen3_vl", {"head_dim": 16, "rope_parameters": rope}, vision)


def _later(model_type: str, text: dict[str, Any], vision: dict[str, Any]) -> dict[str, Any]:
    text = {**SMALL, "model_type": f"{model_type}_text", **text}
    return {**qwen2_vl(), "model_type": model_type, "text_config": text, "vision_config": vision}


def idefics3() -> dict[str, Any]:
    vision = {
        "model_type": "idefics3_vision",
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 64,
        "patch_size": 16,
    }
    return {
        "model_type": "idefics3",
        "image_token_id": 500,
        "scale_factor": 2,
        "tie_word_embeddings": False,
        "pad_token_id": 0,
        "text_config": {**SMALL, "model_type": "llama"},
        "vision_config": vision,
    }


def smolvlm() -> dict[str, Any]:
    config = idefics3()
    return {
        **config,
        "model_type": "smolvlm",
        "vision_config": config["vision_config"] | {"model_type": "smolvlm_vision"},
    }


def llava() -> dict[str, Any]:
    vision = {
        "model_type": "clip_vision_model",
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "projection_dim": 32,
        "image_size": 56,
        "patch_size": 14,
    }
    return {
        "model_type": "llava",
        "image_token_index": 500,
        "vision_feature_layer": -2,
        "vision_feature_select_strategy": "default",
        "text_config": {**SMALL, "model_type": "llama"},
        "vision_config": vision,
    }


FAMILIES: Mapping[str, tuple[Callable[[], dict[str, Any]], Images]] = {
    "qwen2_vl": (qwen2_vl, Images(120, 80, 2)),
    "qwen2_5_vl": (qwen2_5_vl, Images(240, 170, 2)),
    "qwen3_vl": (qwen3_vl, Images(300, 200)),
    "idefics3": (idefics3, Images(300, 200)),
    "smolvlm": (smolvlm, Images(300, 200, 2)),
    "llava": (llava, Images(300, 200, 2)),
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


def some_of(ways: Mapping[str, Any], apart: int) -> list[tuple[str, str]]:
    """The first family in every way, each other one in some, each way by some: all of them take many minutes."""
    return [
        (family, way)
        for number, family in enumerate(FAMILIES)
        for place, way in enumerate(ways)
        if number == 0 or (number + place) % apart == 0
    ]
