"""Calibrations as a machine would have them, made up."""

from __future__ import annotations

from finefit.catalog.measured import COPIED
from finefit.catalog.rates import Rates
from finefit.nouns.calibration import Calibration, Figure, Unit, What
from finefit.nouns.pace import Pace, Share

UNITS: dict[str, Unit] = {"product": "FLOP/s", "kernel": "s", "context": "bytes", "alone": "bytes"}
DEVICE = "A100 SXM4 80GB"


def figure(what: What, median: float) -> Figure:
    unit = UNITS.get(what.split()[-1], "bytes/s")
    return Figure(what, "made up", unit, median, 0.9 * median, 1.1 * median, 5)


def calibration(*figures: Figure, device: str = DEVICE) -> Calibration:
    versions = {"torch": "2.13.0", "driver": "580.1"}
    return Calibration(device, "2026-11-21T14:03:22+00:00", versions, figures)


def context(alone: float, after: float) -> tuple[Figure, Figure]:
    return figure("context alone", alone), figure("context", after)


def usual(rates: Rates, faster: float = 1.0, device: str = DEVICE) -> Calibration:
    """Of a device that does what the catalogue says, or so many times as fast in everything."""
    return calibration(
        figure("bfloat16 product", 0.9 * rates.half * faster),
        figure("lasting product", rates.half * faster),
        figure("float32 product", rates.float32 * faster),
        figure("copy", rates.memory * COPIED * faster),
        figure("addition", rates.memory * COPIED * faster),
        figure("forward kernel", rates.forward_start / faster),
        figure("backward kernel", rates.backward_start / faster),
        device=device,
    )


def predicted(seconds: float, rates_measured: str = "") -> Pace:
    """A step."""
    return Pace((Share("all", seconds, "derived", ""),), seconds, seconds, 1, rates_measured=rates_measured)
