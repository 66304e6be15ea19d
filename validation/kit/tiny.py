"""The same kinds of points with small models, for a processor: the recorder there is exact, and so must we be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from finefit.nouns.model import Model

from .design import pairs_of
from .points import BEYOND, Point, model_of

SMALL: dict[str, Any] = {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "max_position_embeddings": 2048,
    "bos_token_id": None,
    "eos_token_id": 0,
    "pad_token_id": 0,
}
GROUPED = {"num_key_value_heads": 2}
OWN = {"num_experts": 8, "num_experts_per_tok": 2, "sliding_window": 48}
"""Where the model has them."""
LENGTHS = {512: 64, 1024: 96, 2048: 128}
COUNT = 24


def tiny_model(name: str) -> Model:
    """Of the same architecture: tied or not, grouped or not, with experts or a window where it has them."""
    model = model_of(name)
    if "vision_config" in model.config:
        return _that_sees(name, model)
    config = dict(model.config)
    grouped = config["num_key_value_heads"] < config["num_attention_heads"]
    heads = GROUPED if grouped else {"num_key_value_heads": SMALL["num_attention_heads"]}
    own = {key: value for key, value in OWN.items() if config.get(key)}
    dropped = {key: value for key, value in config.items() if key not in ("head_dim", "layer_types")}
    return Model(id=f"tiny {name}", config=dropped | SMALL | heads | own, source=f"the shape of {model.source}")


def _that_sees(name: str, model: Model) -> Model:
    """Its patches and their merging as they are."""
    text, vision = dict(model.config["text_config"]), dict(model.config["vision_config"])
    rope = text["rope_parameters"] | {"mrope_section": [2, 3, 3]}
    image = {"image_token_id": 500, "video_token_id": 501, "vision_start_token_id": 502, "vision_end_token_id": 503}
    config = {
        **model.config,
        **image,
        "text_config": text | SMALL | GROUPED | {"rope_parameters": rope},
        "vision_config": vision | {"depth": 3, "embed_dim": 32, "num_heads": 2, "hidden_size": SMALL["hidden_size"]},
    }
    return Model(id=f"tiny {name}", config=config, source=f"the shape of {model.source}")


def tiny(point: Point) -> Point:
    """With a length that the small model's processor runs at once."""
    return replace(point, length=LENGTHS[point.length], expandable=False)


def some_points(points: tuple[Point, ...]) -> list[Point]:
    """`COUNT` of them, each next one with most pairs that none before has, and those that are in no pairs."""
    beyond = [point for point in points if point.rows in BEYOND]
    paired = [point for point in points if point.rows not in BEYOND]
    seen: set[Any] = set()
    found: list[Point] = []
    for _ in range(COUNT):
        best = max(paired, key=lambda point: len(set(pairs_of(point)) - seen))
        found.append(best)
        seen |= set(pairs_of(best))
    return [*found, *beyond]
