"""Weights into files: which weight goes into which, and one file after the other in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file

from .base import INDEX, SINGLE, Stored

FOR_ALL = 0o644
"""safetensors 0.8 leaves files that only their owner may read."""


def parts_of(weights: Sequence[Stored], width: int, limit: int) -> list[list[Stored]]:
    """In their order; only a weight that is larger than the limit stands alone in a larger file."""
    parts: list[list[Stored]] = [[]]
    filled = 0
    for weight in weights:
        nbytes = weight.elements * width
        if parts[-1] and filled + nbytes > limit:
            parts.append([])
            filled = 0
        parts[-1].append(weight)
        filled += nbytes
    return parts


def write(
    parts: Sequence[Sequence[Stored]],
    take: Callable[[Stored], torch.Tensor],
    folder: Path,
    say: Callable[[str], None],
) -> int:
    """Each weight as `take` gives it, under the key that it had; returns their bytes. No more than one file's weights
    are held at a time."""
    places: dict[str, str] = {}
    total = 0
    for number, part in enumerate(parts, 1):
        say(f"writing file {number} of {len(parts)}")
        name = SINGLE if len(parts) == 1 else f"model-{number:05d}-of-{len(parts):05d}.safetensors"
        tensors = {weight.key: take(weight).contiguous() for weight in part}
        save_file(tensors, folder / name, metadata={"format": "pt"})
        (folder / name).chmod(FOR_ALL)
        total += sum(tensor.nbytes for tensor in tensors.values())
        places |= dict.fromkeys(tensors, name)
        del tensors
    if len(parts) > 1:
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))}
        (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n")
    return total
