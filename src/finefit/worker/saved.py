"""What training leaves behind: the adapter (or the whole model) and its tokenizer, checked by reading them back."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from .batches import ids_of
from .build import load_model
from .checkpoints import refuse_full_disk, settle
from .run_trainer import saved_bytes

CHECKED_ROWS = 2
CHECKED_TOKENS = 256
"""Of each row: whole logits of long rows would need memory that the training did not."""

TOLERANCE = {"float32": 1e-4, "bfloat16": 2e-2, "float16": 5e-3}
"""Largest difference of two logits, as a share of the largest logit: the same weights, computed twice, differ by the
order of sums alone. About 2⁸ times float32's rounding, 5 times that of the 16-bit types."""


def save(
    model: Any,
    tokenizer: Any,
    folder: Path,
    state: Mapping[str, torch.Tensor] | None = None,
    beside: Sequence[Path] = (),
) -> int:
    """Complete or invisible; returns the bytes written. `state`: gathered, where the model has only parts; `beside`:
    files that are copied as they are."""
    partial = folder.with_name(f".partial-{folder.name}")
    shutil.rmtree(partial, ignore_errors=True)
    nbytes = saved_bytes(model) if state is None else sum(tensor.nbytes for tensor in state.values())
    refuse_full_disk(folder.parent, nbytes)
    try:
        model.save_pretrained(partial, state_dict=state)
        tokenizer.save_pretrained(partial)
        for paper in beside:
            shutil.copy(paper, partial)
        settle(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def load(orders: dict[str, Any], folder: Path | None, device: str, *, widens: bool = True) -> nn.Module:
    """The base model with the adapter in `folder`, or the whole model in it, or (None) the base model alone. `widens`:
    PEFT makes an adapter in half precision float32."""
    if folder is None:
        model = load_model(orders)
    elif (folder / "adapter_config.json").exists():
        model = PeftModel.from_pretrained(load_model(orders), folder, autocast_adapter_dtype=widens)
    else:
        model = load_model(orders | {"folder": str(folder)})
    if not orders["quantization"]:  # quantised weights are loaded where they stay
        model = model.to(device)
    return model.eval()


def logits_of(model: Any, batch: dict[str, torch.Tensor], autocast: Any) -> torch.Tensor:
    """On the processor, in float32, so that nothing of the model stays alive."""
    model.eval()
    with torch.no_grad(), autocast():
        outputs = model(**{key: value.to(model.device) for key, value in batch.items()}, use_cache=False)
    return outputs.logits.float().cpu()


def rows_to_check(trainer: Any) -> dict[str, torch.Tensor]:
    """The beginnings of the first held-out rows, or of the first rows where none are held out."""
    rows = trainer.eval_dataset if trainer.eval_dataset is not None else trainer.train_dataset
    chosen = [rows[index] for index in range(min(CHECKED_ROWS, len(rows)))]
    ids = [torch.tensor(ids_of(row)[:CHECKED_TOKENS]) for row in chosen]
    padding = trainer.processing_class.pad_token_id
    return {
        "input_ids": pad_sequence(ids, batch_first=True, padding_value=padding),
        "attention_mask": pad_sequence([torch.ones_like(each) for each in ids], batch_first=True),
    }


def difference(one: torch.Tensor, other: torch.Tensor, dtype: str) -> dict[str, Any]:
    largest = float((one - other).abs().max())
    allowed = TOLERANCE[dtype] * float(one.abs().max())
    return {"max_difference": largest, "tolerance": allowed, "agrees": largest <= allowed}
