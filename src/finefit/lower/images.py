"""What the worker is told of a row's images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from finefit.catalog.images import shown
from finefit.errors import BadInput, Problem
from finefit.nouns.images import Images, Shown
from finefit.nouns.model import Model


def images_of(model: Model, images: Images, length: int) -> Shown:
    """Raises `BadInput` where the model is not known to see, or rows of `length` have no room for them."""
    known = shown(model.config, images)
    if known is None:
        kind = model.config.get("model_type")
        why = f"how models of type {kind} see is not known to this version" if _sees(model) else f"{kind} sees nothing"
        raise BadInput(Problem(f"{model.id} cannot be shown images", where="image_size", why=why))
    if length < known.least_length:
        each = f"{images.count} of {images.width}x{images.height}"
        raise BadInput(
            Problem(
                f"{length} tokens are too few for the images of a row",
                where="max_length",
                why=f"{each} become {known.tokens:,} tokens of the model",
                hint=f"at least {known.least_length}, and what the text needs",
            )
        )
    return known


def _sees(model: Model) -> bool:
    return "vision_config" in model.config


def words_of(known: Shown) -> Mapping[str, Any]:
    """Plain dicts and lists."""
    tensors = {name: {**asdict(entry), "shape": list(entry.shape)} for name, entry in known.entries.items()}
    return {"token": known.token, "runs": list(known.runs), "types": known.has_types, "tensors": tensors}
