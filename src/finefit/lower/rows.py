"""What the worker is told of a job's files: how their rows are read."""

from __future__ import annotations

from typing import Any

from finefit.nouns.formats import Format


def with_rows(orders: dict[str, Any], format: Format) -> dict[str, Any]:
    """TRL (1.16) refuses `assistant_only_loss` where rows have no turns, and trains a completion by itself."""
    turns = orders["trainer"]["assistant_only_loss"] and format.has_turns
    return orders | {
        "data": orders["data"] | {"format": format.name},
        "trainer": orders["trainer"] | {"assistant_only_loss": turns},
    }
