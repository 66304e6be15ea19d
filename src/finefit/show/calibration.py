"""What was measured of this machine's device, in a table and as JSON."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from finefit.nouns.calibration import Calibration, Figure
from finefit.units import human_bytes

from .terminal import console_on

USED = "Times and memory that are predicted for this GPU rest on it from now on: `finefit estimate`, `plan`, `matrix`."
OFF = "Not kept: FINEFIT_CALIBRATION is off."
UNUSED = "Kept, and used by nothing yet: times are predicted for GPUs."


def of_calibration(found: Calibration, kept_at: Path | None) -> dict[str, Any]:
    return {
        "device": found.device,
        "measured_at": found.measured_at,
        "versions": found.versions,
        "figures": [vars(figure) for figure in found.figures],
        "kept_at": None if kept_at is None else str(kept_at),
    }


def show(found: Calibration, kept_at: Path | None) -> None:
    from rich.table import Table

    console = console_on(sys.stdout)
    versions = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    console.print(f"{found.device}, measured on {found.day}; {versions}", style="bold")
    table = Table(box=None, pad_edge=False)
    table.add_column("what", no_wrap=True)
    for title in ("median", "middle half"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("runs", justify="right")
    table.add_column("of")
    for figure in found.figures:
        table.add_row(figure.what, words(figure, figure.median), _half(figure), str(figure.runs), figure.of)
    console.print(table)
    if kept_at is None:
        console.print(OFF)
        return
    console.print(f"kept in {kept_at}", soft_wrap=True)
    console.print(UNUSED if found.device == "cpu" else USED)


def words(figure: Figure, value: float) -> str:
    match figure.unit:
        case "FLOP/s":
            return f"{value / 1e12:,.3g} TFLOP/s" if value < 1e13 else f"{value / 1e12:,.0f} TFLOP/s"
        case "bytes/s":
            return f"{value / 1e9:,.1f} GB/s"
        case "s":
            return f"{value * 1e6:,.1f} µs"
        case "bytes":
            return human_bytes(value)


def _half(figure: Figure) -> str:
    if figure.runs == 1:
        return ""
    return f"{words(figure, figure.low).split()[0]} to {words(figure, figure.high).split()[0]}"
