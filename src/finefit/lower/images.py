"""What the worker is told of a row's images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from finefit.catalog.images import PROCESSORS, refused, shown
from finefit.errors import BadInput, Problem
from finefit.nouns.images import Entry, Images, Shown, Size
from finefit.nouns.model import Model


def images_of(model: Model, images: Images, length: int) -> Shown:
    """Raises `BadInput` where the model is not known to see, or rows of `length` have no room for them."""
    known = shown(model.config, images)
    if known is None:
        raise BadInput(Problem(f"{model.id} cannot be shown images", where="image_size", why=_why_blind(model)))
    why = refused(model.config, (images.width, images.height))
    if why:
        raise BadInput(
            Problem(f"{model.id} cannot be shown {images.width}x{images.height}", where="image_size", why=why)
        )
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


def _why_blind(model: Model) -> str:
    kind = model.config.get("model_type")
    sees = "vision_config" in model.config
    return f"how models of type {kind} see is not known to this version" if sees else f"{kind} sees nothing"


def words_of(known: Shown) -> Mapping[str, Any]:
    """Plain dicts and lists."""
    tensors = {name: _entry(entry) for name, entry in known.entries.items()}
    return {"token": known.token, "runs": list(known.runs), "types": known.has_types, "tensors": tensors}


def _entry(entry: Entry) -> dict[str, Any]:
    return {"shape": list(entry.shape), "dtype": entry.dtype, "values": entry.values}


def cannot_show(model: Model) -> str:
    """Why rows of this model show no images; empty where they may."""
    if model.config.get("model_type") in PROCESSORS:
        return ""
    return _why_blind(model)


def tokens_of(model: Model, sizes: Sequence[Size]) -> int:
    """That images add to their placeholders; none where the model is not known to see."""
    known = [shown(model.config, Images(width, height), model.pictures) for width, height in sizes]
    return sum(one.tokens + one.around - 1 for one in known if one is not None)


def placeholders_of(model: Model, sizes: Sequence[Size]) -> int:
    """Tokens that stand for pieces of these images; the rest of what a processor writes for them is text."""
    known = [shown(model.config, Images(width, height), model.pictures) for width, height in sizes]
    return sum(one.tokens for one in known if one is not None)


def words_of_sizes(model: Model, sizes: Sequence[Size]) -> Mapping[str, Any]:
    """Of a file's images: what one of each size becomes."""
    each = [shown(model.config, Images(width, height), model.pictures) for width, height in sizes]
    known = [one for one in each if one is not None]
    assert known, "rows show something, and the model sees"
    return {
        "token": known[0].token,
        "types": known[0].has_types,
        "sizes": [{"runs": list(one.runs), "around": one.around, "tensors": _joined(one)} for one in known],
    }


def _joined(known: Shown) -> dict[str, Any]:
    return {name: _entry(entry) | {"along": entry.along} for name, entry in known.entries.items()}
