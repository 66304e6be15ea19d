"""Machines of the clouds: processors, memory, disk and network beside their GPUs.

Knows: the rows of clouds.csv, each with its source; an empty cell is not known. Where no page says how the GPUs are
linked, it follows from the board: SXM cards since the A100 sit behind NVSwitch, cards without NVLink are on PCIe.
Does not know: which regions have them, or whether one is free.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

from finefit.catalog.gpus import gpu_named
from finefit.nouns.cloud import LINKS, CloudMachine


@dataclass(frozen=True)
class Row:
    machine: CloudMachine
    up_to: int
    # the provider makes machines of any multiple, with as much more of processors and memory


@cache
def rows() -> tuple[Row, ...]:
    text = (files("finefit.catalog") / "clouds.csv").read_text(encoding="utf-8")
    return tuple(_row(cells) for cells in csv.DictReader(text.splitlines()))


def machines_with(gpu_name: str, count: int) -> tuple[CloudMachine, ...]:
    """With exactly so many of this card, by provider, the fewest processors first."""
    card = gpu_named(gpu_name).name
    return tuple(_times(row.machine, count) for row in rows() if row.machine.gpu == card and _makes(row, count))


def _makes(row: Row, count: int) -> bool:
    return row.machine.count <= count <= row.up_to and count % row.machine.count == 0


def _times(machine: CloudMachine, count: int) -> CloudMachine:
    times = count // machine.count
    return replace(
        machine,
        count=count,
        vcpus=None if machine.vcpus is None else times * machine.vcpus,
        host_ram_gib=None if machine.host_ram_gib is None else times * machine.host_ram_gib,
        link=machine.link if count > 1 else "none",
    )


def _row(cells: Mapping[str, str]) -> Row:
    machine = CloudMachine(
        provider=cells["provider"],
        instance=cells["instance"],
        gpu=gpu_named(cells["gpu"]).name,
        count=int(cells["count"]),
        vcpus=int(cells["vcpus"]) if cells["vcpus"] else None,
        host_ram_gib=_number(cells["host_ram_gib"]),
        local_disk_gb=_number(cells["local_disk_gb"]),
        network_gbps=_number(cells["network_gbps"]),
        link=next((link for link in LINKS if link == cells["link"]), None),
        source=cells["source"],
        note=cells["note"],
    )
    return Row(machine, int(cells["up_to"]))


def _number(cell: str) -> float | None:
    return float(cell) if cell else None
