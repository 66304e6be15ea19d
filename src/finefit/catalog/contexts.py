"""What a CUDA context takes on a GPU, beside all that torch's allocator reserves: the driver's part, and kernels.

Knows: what was measured on this machine; else the rows of contexts.csv, each with its source, by chip (an A100 has one,
whatever its memory). A context that was read alone grows while kernels are loaded; how much is known of the T4 only,
and taken for the others.
Does not know: other chips. Compute capability does not tell (an L4 takes half of what an RTX 6000 Ada takes, both 8.9),
so the span of all rows stands for them. Nor what NCCL, graphs and other processes take.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from statistics import median

from finefit.nouns.calibration import Calibration
from finefit.nouns.machine import Gpu
from finefit.nouns.range import Range, Reason, around
from finefit.units import MIB

from .gpus import Label

ALONE, TRAINED = "alone", "after training steps"


@dataclass(frozen=True)
class Row:
    chip: str
    nbytes: int
    when: str
    # `alone`, or `after training steps`
    torch: str
    cuda: str
    source: str


@cache
def rows() -> tuple[Row, ...]:
    text = (files("finefit.catalog") / "contexts.csv").read_text(encoding="utf-8")
    return tuple(_row(cells) for cells in csv.DictReader(text.splitlines()))


def _row(cells: dict[str, str]) -> Row:
    chip = Label.read(cells["gpu"]).core
    return Row(chip, int(float(cells["mib"]) * MIB), cells["when"], cells["torch"], cells["cuda"], cells["source"])


def context_on(gpu: Gpu) -> Range:
    """What was measured on this machine comes first."""
    own = None if gpu.here is None or gpu.here.calibration is None else _here(gpu.here.calibration)
    if own is not None:
        return own
    found = _by_chip().get(Label.read(gpu.name).core)
    return _of_all(gpu.name) if found is None else found


def _here(found: Calibration) -> Range | None:
    """A run loads other kernels than a calibration did: fewer at best, as much again at worst (guessed)."""
    alone, after = found.best("context alone"), found.best("context")
    if alone is None or after is None:
        return None
    grown, typical = max(0, int(after - alone)), int(after)
    versions = ", ".join(f"{name} {found.versions[name]}" for name in ("torch", "driver") if name in found.versions)
    why = (
        f"measured on this machine on {found.day} ({versions}): {int(alone) // MIB} MiB alone, {typical // MIB} MiB "
        f"with kernels of many kinds; a run may load fewer, or as many again"
    )
    return around(typical, [Reason("CUDA context", grown, grown, "measured", why)])


@cache
def _by_chip() -> dict[str, Range]:
    grown = growth()
    found: dict[str, Range] = {}
    for row in rows():
        if row.when == TRAINED:
            found[row.chip] = Range(row.nbytes, row.nbytes, row.nbytes, (_trained(row),))
        else:
            found.setdefault(row.chip, _from_alone(row, *grown))
    return found


def growth() -> tuple[int, float]:
    """By how much a context grew in training where both were read: in bytes, and as a ratio."""
    trained = {row.chip: row.nbytes for row in rows() if row.when == TRAINED}
    pairs = [(row.nbytes, trained[row.chip]) for row in rows() if row.when == ALONE and row.chip in trained]
    return max(after - alone for alone, after in pairs), max(after / alone for alone, after in pairs)


def _trained(row: Row) -> Reason:
    return Reason("CUDA context", 0, 0, "measured", f"torch {row.torch}, CUDA {row.cuda}: {row.source}")


def _from_alone(row: Row, grown_bytes: int, ratio: float) -> Range:
    typical, high = row.nbytes + grown_bytes, max(int(row.nbytes * ratio), row.nbytes + grown_bytes)
    why = (
        f"{row.nbytes // MIB} MiB alone (torch {row.torch}, CUDA {row.cuda}: {row.source}); loaded kernels added "
        f"{grown_bytes / MIB:.0f} MiB, or a third, on a T4"
    )
    return around(typical, [Reason("CUDA context", typical - row.nbytes, high - typical, "guessed", why)])


def _of_all(name: str) -> Range:
    known = list(_by_chip().values())
    typical = int(median(each.typical for each in known))
    low, high = min(each.low for each in known), max(each.high for each in known)
    why = f"not known of {name}: between those of {len(known)} other chips, {low // MIB} to {high // MIB} MiB"
    return around(typical, [Reason("CUDA context", typical - low, high - typical, "guessed", why)])
