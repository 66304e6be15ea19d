"""GPUs by name.

Knows: memory and compute capability of the cards in gpus.csv, where each row has its source. A name may leave out what
does not change the memory (maker, form factor); where several cards with different memory remain, it asks.
Does not know: cards without a CUDA compute capability (AMD, Apple); they are named as coming later.
"""

from __future__ import annotations

import csv
import difflib
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from finefit.errors import BadInput, Problem
from finefit.nouns.machine import Gpu
from finefit.units import GIB, MIB

NOISE = re.compile(
    r"\b(nvidia|geforce|tesla|quadro|amd|radeon|instinct|apple|gpu|blackwell|generation|workstation|server|edition|ac"
    r"|hbm\d\w?)\b"
)
"""Words that tell no two cards of one memory size apart."""

FAMILIES = ("rtx", "gtx")
"""Prefixes that people leave out: `4090`."""

BF16_SINCE = (8, 0)
"""Compute capability of the first cards that calculate in bfloat16 (NVIDIA Ampere); on older ones torch has it too,
reckoned in float32."""

MEMORY = re.compile(r"(\d{1,3}) ?gi?b\b")
FORM = re.compile(r"\b(pcie|sxm\d?|nvl)\b")


@dataclass(frozen=True)
class Label:
    """A card's name taken apart: `H100 SXM5 80GB` is `h100`, 80, `sxm5`."""

    core: str
    memory_gb: int | None
    form: str

    @classmethod
    def read(cls, name: str) -> Label:
        text = re.sub(r"[^a-z0-9]+", " ", re.sub(r"\(.*?\)", " ", name.lower()))
        memory, form = MEMORY.search(text), FORM.search(text)
        core = NOISE.sub(" ", FORM.sub(" ", MEMORY.sub(" ", text))).replace(" ", "")
        return cls(core, int(memory[1]) if memory else None, form[1] if form else "")


@dataclass(frozen=True)
class Row:
    name: str
    label: Label
    memory_gb: int
    # as it is sold
    gpu: Gpu | None
    # None: not a CUDA card

    @property
    def cores(self) -> set[str]:
        """`rtx4090`, `4090`."""
        return {self.label.core} | {self.label.core.removeprefix(family) for family in FAMILIES}

    def answers(self, asked: Label) -> bool:
        return (
            asked.core in self.cores
            and asked.memory_gb in (None, self.memory_gb)
            and self.label.form.startswith(asked.form)
        )


@cache
def rows() -> tuple[Row, ...]:
    return tuple(_row(cells) for cells in facts())


@cache
def facts() -> tuple[dict[str, str], ...]:
    """The rows as they are written; not of CUDA cards alone."""
    text = (files("finefit.catalog") / "gpus.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))


def _row(cells: dict[str, str]) -> Row:
    name = cells["name"]
    return Row(name, Label.read(name), int(cells["vram_gb"]), _gpu(cells) if cells["compute_capability"] else None)


def _gpu(cells: dict[str, str]) -> Gpu:
    major, minor = cells["compute_capability"].split(".")
    shown, torch_total = _totals(cells)
    return Gpu(
        name=cells["name"],
        vram_bytes=torch_total or shown,
        compute_capability=(int(major), int(minor)),
        native_bf16=cells["native_bf16"].startswith("yes"),
        unknown_bytes=0 if torch_total else _drivers_share(shown),
    )


def _totals(cells: dict[str, str]) -> tuple[int, int]:
    """What nvidia-smi shows, and what torch reports (0: not known), which lacks what the driver keeps."""
    return int(cells["vram_mib_nvidia_smi"]) * MIB, int(float(cells["torch_total_gib"] or 0) * GIB)


def _drivers_share(shown: int) -> int:
    """At most, as far as cards go of which both totals are known: no larger a part, and no more bytes."""
    known = [cells for cells in facts() if cells["compute_capability"] and cells["torch_total_gib"]]
    both = [_totals(cells) for cells in known]
    part = max(1 - torch_total / smi for smi, torch_total in both)
    return int(min(part * shown, max(smi - torch_total for smi, torch_total in both)))


def cells_of(name: str) -> dict[str, str]:
    """The row of a card, by its own name."""
    return next(cells for cells in facts() if cells["name"] == name)


def gpu_named(name: str) -> Gpu:
    """`RTX4090`, `4090`, `H100-80GB`, or what nvidia-smi prints."""
    found = _exact(name) or [row for row in rows() if row.answers(Label.read(name))]
    if not found:
        raise BadInput(_unknown(name))
    if len({(row.memory_gb, row.gpu and row.gpu.compute_capability) for row in found}) > 1:
        names = ", ".join(row.name for row in found)
        raise BadInput(Problem(f"'{name}' may be any of: {names}", hint=f"name one of them, like '{found[0].name}'"))
    chosen = _usual_form(found)
    if chosen.gpu is None:
        raise BadInput(Problem(f"{chosen.name} comes in a later version", why="this version knows NVIDIA GPUs alone"))
    return chosen.gpu


def _exact(name: str) -> list[Row]:
    return [row for row in rows() if row.name.lower() == name.strip().lower()]


def _usual_form(found: list[Row]) -> Row:
    """Of cards with the same memory, the one that clouds rent out."""
    return next((row for row in found if row.label.form.startswith("sxm")), found[0])


def _unknown(name: str) -> Problem:
    cores = {core for row in rows() for core in row.cores}
    near = difflib.get_close_matches(Label.read(name).core, sorted(cores), n=3, cutoff=0.6)
    names = [row.name for core in near for row in rows() if core in row.cores]
    if not names:
        return Problem(f"unknown GPU '{name}'", hint="a name like RTX4090 or H100-80GB; or cpu, or auto")
    return Problem(f"unknown GPU '{name}'", hint="did you mean " + ", ".join(dict.fromkeys(names)) + "?")
