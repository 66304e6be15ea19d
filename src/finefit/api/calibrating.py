"""`calibrate`: what this machine's device does, measured and kept."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from finefit.catalog.gpus import gpu_named
from finefit.errors import BadInput, Problem
from finefit.nouns.calibration import Calibration, Figure
from finefit.run import worker
from finefit.world import calibrations
from finefit.world.gpus import gpu_here

SECONDS = 0.3
"""Of a figure: with 21 products, a GPU is done in half a minute."""
LASTING = 6.0
"""Seconds after which a card under its power limit has found its clock, for what can be found in a minute."""


def calibrate(
    gpu: str = "auto",
    *,
    seconds: float = SECONDS,
    lasting: float = LASTING,
    progress: Callable[[str], None] | None = None,
) -> tuple[Calibration, Path | None]:
    """And where it is kept; None where calibrations are off. `gpu`: `auto`, this machine's first, or the processor
    where there is none; or `cpu`. Raises `BadInput`, `RunFailed`."""
    if gpu not in ("auto", "cpu"):
        why = "only what is in this machine can be measured"
        raise BadInput(Problem(f"'{gpu}' is neither auto nor cpu", where="--gpu", why=why, hint="auto"))
    say = progress or (lambda _: None)
    is_gpu = gpu == "auto" and gpu_here() is not None
    say(f"measuring this machine's {'GPU' if is_gpu else 'processor'}: about a minute")
    orders = {"device": "cuda" if is_gpu else "cpu", "seconds": seconds, "lasting": lasting}
    told = worker.ask("calibrate", orders, lambda event: say(str(event.get("text", ""))))
    found = Calibration(
        device=_name(told["device"]),
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=told["versions"],
        figures=tuple(Figure(**one) for one in told["figures"]),
    )
    return found, calibrations.keep(found)


def _name(device: str) -> str:
    """As the catalogue has it, where it has it."""
    try:
        return device if device == "cpu" else gpu_named(device).name
    except BadInput:
        return device
