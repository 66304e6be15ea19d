"""A machine that a cloud rents out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Link = Literal["none", "pcie", "nvlink", "nvswitch"]
LINKS: tuple[Link, ...] = get_args(Link)


@dataclass(frozen=True)
class CloudMachine:
    provider: str
    instance: str
    # empty: the provider has no name for it
    gpu: str
    count: int
    vcpus: int | None
    # None here and below: not known
    host_ram_gib: float | None
    local_disk_gb: float | None
    # that comes with it; what is added at will is in the note
    network_gbps: float | None
    link: Link | None
    # between the GPUs; "none" where there is one
    source: str
    note: str
