"""What errors are summed up by."""

from __future__ import annotations

from collections.abc import Sequence


def at_95(errors: Sequence[float]) -> float:
    """The error that 95 of 100 do not exceed: of a few, the nearest one."""
    return sorted(errors)[round(0.95 * (len(errors) - 1))]
