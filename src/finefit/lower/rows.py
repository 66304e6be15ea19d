"""What the worker is told of a job's files: how their rows are read, and which are left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from finefit.nouns.formats import Format

EXAMPLES = 3


def with_rows(orders: dict[str, Any], format: Format, left_out: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """`left_out`: the numbers of bad rows, of `train` and `eval`. TRL (1.16) refuses `assistant_only_loss` where rows
    have no turns, and trains a completion by itself."""
    turns = orders["trainer"]["assistant_only_loss"] and format.has_turns
    return orders | {
        "data": orders["data"] | {"format": format.name, "left_out": dict(left_out)},
        "trainer": orders["trainer"] | {"assistant_only_loss": turns},
    }


def rows_orders(path: str, format: Format, left_out: Sequence[int], folder: str | None) -> dict[str, Any]:
    """To look at a file alone, with a model's tokenizer. `left_out`: as above. What its rows show is not in it."""
    return {
        "device": "cpu",
        "model": {"folder": folder},
        "data": {
            "train": path,
            "eval": None,
            "format": format.name,
            "left_out": {"train": list(left_out)},
        },
        "trainer": {"assistant_only_loss": format.has_turns},
        "examples": EXAMPLES,
    }
