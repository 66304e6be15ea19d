"""What was measured on this machine, as it is kept: a file a device, and beside it a line for each finished run there.

Knows: `calibration/` in the folder of caches; `FINEFIT_CALIBRATION=off` is as if nothing had been measured, and
keeps nothing. Only numbers, versions and dates are kept, and nothing leaves the machine. A file that is torn or foreign
counts as not there, which `trouble` says; a torn line is passed over.
Does not know: whether a home folder is shared by machines whose cards have the same name.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeGuard, get_args

from finefit.nouns.calibration import Calibration, Figure, Here, Unit, What
from finefit.nouns.pace import Pace

from . import caches

VARIABLE = "FINEFIT_CALIBRATION"
OFF = "off"
FORMAT = 1
FIGURE = {"what": str, "of": str, "unit": str, "median": float, "low": float, "high": float, "runs": int}


def kept_at(device: str) -> Path:
    return caches.home() / "calibration" / f"{_slug(device)}.json"


def runs_at(device: str) -> Path:
    return kept_at(device).with_suffix(".runs.jsonl")


def is_off() -> bool:
    return os.environ.get(VARIABLE) == OFF


def keep(found: Calibration) -> Path | None:
    """In the place of an earlier one of the device."""
    if is_off():
        return None
    path = kept_at(found.device)
    caches.write(path, (json.dumps({"format": FORMAT, **asdict(found)}, indent=1) + "\n").encode())
    return path


def read(device: str) -> Calibration | None:
    return _read(device)[0]


def trouble(device: str) -> tuple[str, ...]:
    """What to tell the user of a file that cannot be used."""
    why = _read(device)[1]
    if not why:
        return ()
    return (f"{kept_at(device)} is not used: {why}; `finefit calibrate` writes it anew",)


def here(device: str) -> Here | None:
    """None where nothing is known."""
    if is_off():
        return None
    calibration = read(device)
    ratios = _ratios(device, "" if calibration is None else calibration.measured_at)
    return Here(calibration, ratios) if calibration or ratios else None


def learn(device: str, predicted: Pace, measured_seconds: float) -> None:
    """Of a run that is done: a step as it was predicted, and how long one took; alike in tokens, without the steps that
    loaded kernels. A run that is done does not fail where this cannot be written."""
    line = {
        "rates": predicted.rates_measured,
        "predicted_seconds": predicted.plain_seconds,
        "measured_seconds": measured_seconds,
    }
    if not is_off() and _ratio_of(line) is not None:
        with suppress(OSError):
            _append(runs_at(device), json.dumps(line))


def _append(path: Path, line: str) -> None:
    """Behind a line that a killed writer left half-written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torn = path.exists() and not path.read_bytes().endswith(b"\n")
    with path.open("ab") as file:
        file.write(("\n" * torn + line + "\n").encode())


def _slug(device: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", device.lower()).strip("-.") or "device"


def _read(device: str) -> tuple[Calibration | None, str]:
    """The calibration, or why it cannot be used; neither where there is none."""
    if is_off():
        return None, ""
    try:
        told = json.loads(kept_at(device).read_bytes())
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        return None, f"it cannot be read ({error.strerror})"
    except ValueError:
        return None, "it is not JSON"
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        return None, "another version of finefit wrote it, or another program"
    if told.get("device") != device:
        return None, f"it is of another device than {device}"
    try:
        return _calibration(told), ""
    except (KeyError, TypeError, ValueError, OverflowError):
        return None, "a figure in it is none"


def _calibration(told: dict[str, Any]) -> Calibration:
    """Raises ValueError, KeyError, TypeError."""
    day = told["measured_at"]
    if not isinstance(day, str) or not re.match(r"\d{4}-\d\d-\d\dT", day):
        raise ValueError("no date")
    versions = {str(name): str(version) for name, version in dict(told["versions"]).items()}
    return Calibration(told["device"], day, versions, tuple(_figure(cells) for cells in told["figures"]))


def _figure(cells: dict[str, Any]) -> Figure:
    """What is not known of later versions is refused, like what is no number."""
    figure = Figure(**{name: kind(cells[name]) for name, kind in FIGURE.items()})
    known = figure.what in get_args(What) and figure.unit in get_args(Unit)
    numbers = (figure.low, figure.median, figure.high)
    if not known or not all(map(math.isfinite, numbers)) or not 0 < figure.low <= figure.median <= figure.high:
        raise ValueError("no figure")
    return figure


def _ratios(device: str, rates: str) -> tuple[float, ...]:
    try:
        lines = runs_at(device).read_bytes().splitlines()
    except OSError:
        return ()
    return tuple(ratio for line in lines if (ratio := _ratio(line, rates)) is not None)


def _ratio(line: bytes, rates: str) -> float | None:
    """None where the prediction rested on other rates, or the line says nothing."""
    try:
        told = json.loads(line)
    except ValueError:
        return None
    return _ratio_of(told) if isinstance(told, dict) and told.get("rates") == rates else None


def _ratio_of(told: Mapping[str, Any]) -> float | None:
    predicted, measured = told.get("predicted_seconds"), told.get("measured_seconds")
    return float(measured / predicted) if _is_positive(predicted) and _is_positive(measured) else None


def _is_positive(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf
