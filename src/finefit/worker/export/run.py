"""A run's result as one model that anybody can load.

Orders: those of the run; adapter (folder), folder (that is there, and empty), dtype, original_base (merge onto the
weights of the checkpoint where the run quantised them), max_shard_bytes (of a file). Out: what was done, and how far it
is from what was trained.

Everything is on the processor. While merging, memory holds one output file's weights, one weight in float32, and the
adapter; the comparison holds the whole model, once.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import psutil
import torch
from transformers import AutoTokenizer, GenerationConfig

from finefit.errors import RunFailed
from finefit.units import human_bytes

from ..answers import ends_of
from ..build import empty_model, read_config
from ..checkpoints import refuse_full_disk
from ..events import teller
from ..progress import resident_peak
from . import papers, shards
from .adapter import Adapter
from .base import Base, Stored
from .compare import compare


def main(orders_path: str, out_path: str) -> None:
    result = export(json.loads(Path(orders_path).read_text()))
    Path(out_path).write_text(json.dumps(result))


def export(orders: dict[str, Any]) -> dict[str, Any]:
    tuned, folder, dtype = Path(orders["adapter"]), Path(orders["folder"]), getattr(torch, orders["dtype"])
    is_adapter = (tuned / "adapter_config.json").exists()
    model = orders["model"] if is_adapter else orders["model"] | {"folder": str(tuned), "quantization": None}
    empty = empty_model(model | {"quantization": None}, read_config(model))
    base = _base(model, empty, is_quantized=bool(model["quantization"]) and not orders["original_base"])
    adapter = Adapter(empty, tuned if is_adapter else None)
    merged, dequantized = set[str](), set[str]()
    asked_by = os.getppid()

    def take(weight: Stored) -> torch.Tensor:
        if os.getppid() != asked_by:
            raise RunFailed("whoever asked for this is gone")
        value = base.trained(weight)
        if base.is_quantized(weight):
            dequantized.add(weight.name)
        if weight.name in adapter:
            value = adapter.merged(weight.name, value)
            merged.add(weight.name)
        return value.to(dtype) if weight.is_float else value

    parts = shards.parts_of(base.weights, dtype.itemsize, orders["max_shard_bytes"])
    elements = sum(weight.elements for weight in base.weights)
    refuse_full_disk(folder, elements * dtype.itemsize)
    _refuse_full_memory(elements * max(dtype.itemsize, getattr(torch, model["dtype"]).itemsize))
    before = resident_peak()
    say = teller(orders)
    nbytes = shards.write(parts, take, folder, say)
    grown = resident_peak() - before
    if adapter.left:
        raise RunFailed(f"no weight of the checkpoint belongs to {', '.join(sorted(adapter.left)[:3])}")
    ends = _ends(Path(model["folder"]), tuned, empty)
    papers.write(Path(orders["model"]["folder"]), Path(model["folder"]), tuned, folder, orders["dtype"], ends)
    say("reading it back, and comparing it with what was trained")
    return {
        "files": len(parts),
        "nbytes": nbytes,
        "merged": len(merged),
        "dequantized": len(dequantized),
        "grown_bytes": grown,
        "largest_file_bytes": max(sum(weight.elements for weight in part) for part in parts) * dtype.itemsize,
        **compare(orders, model, base, folder),
    }


def _base(model: dict[str, Any], empty: Any, is_quantized: bool) -> Base:
    quantized = empty_model(model | {"prepare": False}, read_config(model)) if is_quantized else None
    return Base(Path(model["folder"]), empty, quantized, getattr(torch, model["dtype"]))


def _ends(base: Path, tuned: Path, empty: Any) -> list[int]:
    """As `answers` ends them, so that others end them alike."""
    if (base / "generation_config.json").exists():
        empty.generation_config = GenerationConfig.from_pretrained(base)
    return ends_of(empty, AutoTokenizer.from_pretrained(tuned))


def _refuse_full_memory(nbytes: int) -> None:
    """Before anything is merged: the comparison loads the whole model."""
    free = psutil.virtual_memory().available
    if free < nbytes:
        raise RunFailed(
            f"the comparison with the trained model takes {human_bytes(nbytes)} of memory, {human_bytes(free)} are free"
        )
