"""Whether a folder holds a model that can be trained: safetensors, whole, and a tokenizer.

Reads the names of files and the headers of safetensors; never a tensor, never a pickle.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from finefit.errors import Problem

HEADER_LIMIT = 100_000_000
"""Bytes: the format's own limit for the header (safetensors, MAX_HEADER_SIZE)."""


def wrong_with_weights(folder: Path) -> tuple[Problem, ...]:
    return (*_weights(folder), *wrong_with_tokenizer(folder))


def _weights(folder: Path) -> Iterator[Problem]:
    where = str(folder)
    present = sorted(folder.glob("*.safetensors"))
    for name in _missing_shards(folder):
        yield Problem(f"{name} is missing", where=where, why="model.safetensors.index.json names it")
    for path in present:
        wrong = _torn(path)
        if wrong:
            yield Problem(wrong, where=str(path), hint="download or copy it again")
    if present:
        return
    if any(folder.glob("*.bin")) or any(folder.glob("*.pt")) or any(folder.glob("*.pth")):
        yield Problem(
            "the weights are pickles (*.bin, *.pt), and no *.safetensors is there",
            where=where,
            why="loading a pickle runs whatever code is in it",
            hint="`model.save_pretrained(folder)` of transformers writes safetensors",
        )
    else:
        yield Problem("no weights: there is no *.safetensors", where=where)


def _missing_shards(folder: Path) -> list[str]:
    index = folder / "model.safetensors.index.json"
    try:
        shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return []  # no index: one file, whose header is looked at
    return sorted(name for name in shards if not (folder / name).exists())


def _torn(path: Path) -> str:
    """What is wrong with a safetensors file by its header: 8 bytes of length, JSON with offsets, then the tensors."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, HEADER_LIMIT):
            return "not a whole safetensors file"
        try:
            header = json.loads(file.read(length))
            ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            return "its header is not that of safetensors"
    whole = 8 + length + max(ends, default=0)
    return "" if size == whole else f"{size} bytes, but its header says {whole}: it is torn"


def wrong_with_tokenizer(folder: Path) -> Iterator[Problem]:
    if not (folder / "tokenizer.json").exists():
        yield Problem(
            "there is no tokenizer.json",
            where=str(folder),
            why="rows are tokenised by the model's own fast tokenizer",
            hint="`AutoTokenizer.from_pretrained(…).save_pretrained(folder)` writes it",
        )
