"""What a run of the example's rows is told, which all show images."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from finefit.rehearsal.files import Files
from finefit.rehearsal.own_images import told_of
from finefit.world.models import find_model
from finefit.world.rows import check_rows

EXAMPLE = Path(__file__).parents[2] / "examples" / "pictures"
FULLEST = [1, 3]
"""Rows."""


def picture_orders(orders: dict[str, Any], folder: Path, model: Path = EXAMPLE / "model") -> dict[str, Any]:
    """What is otherwise than in `orders`. `folder`: where the rows are copied to."""
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("model"))
    train, held_out = folder / "rows.jsonl", folder / "heldout.jsonl"
    files = Files(check_rows(train, blind=""), check_rows(held_out, blind=""))
    told = told_of(files, find_model(str(model)))
    return {
        "model": orders["model"] | {"folder": str(model)},
        "data": {"train": str(train), "eval": str(held_out), **told.data, "first": FULLEST},
        "images": told.images,
        "gradient_accumulation_steps": 1,
        "tower": {"frozen": False, "checkpointed": True},
    }
