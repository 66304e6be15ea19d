"""What a model has and the figures do not, and what they rest on where one might think otherwise."""

from __future__ import annotations

from collections.abc import Iterator

from finefit.nouns.images import Images, Showing
from finefit.nouns.knobs import Knobs
from finefit.nouns.model import Model

EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
"""Of which a configuration has one where a router chooses."""
BY_THEMSELVES = ("dbrx", "doge", "jetmoe", "llama4", "llama4_text", "longcat_flash", "step3p7")
"""Model types without `use_experts_implementation` in transformers 5.23: their experts are not one product."""


def left_out(model: Model, images: Images | Showing | None, knobs: Knobs) -> tuple[str, ...]:
    return (*_of_tower(model, images, knobs), *_of_experts(model))


def _of_tower(model: Model, images: Images | Showing | None, knobs: Knobs) -> Iterator[str]:
    if "vision_config" not in model.config:
        return
    if images is None:
        yield "computed for text alone: the weights of the vision tower are counted; say --image-size for images"
    elif knobs.attn_implementation == "flash_attention_2":
        yield "the tower's attention is computed as torch's flash kernel, image by image, not in one packed call"
    if images is not None and knobs.fsdp:
        yield "the tower's blocks are computed as gathered together, where FSDP2 gathers one after the other"


def _of_experts(model: Model) -> Iterator[str]:
    text = model.config.get("text_config") or model.config
    if not any((text.get(name) or 0) > 1 for name in EXPERTS):
        return
    if text.get("model_type") in BY_THEMSELVES:
        yield "computed as if experts were chosen equally often; how much more an uneven step takes is not known"
    else:
        yield "experts are one product over all of them: however unevenly a router chooses, no byte moves"
