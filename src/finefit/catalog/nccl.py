"""What a NCCL communicator takes on each GPU, beside torch's allocator: its channels' buffers.

Knows: the rows of nccl.csv, each with its source. NCCL's authors say that it grows with the number of channels, so with
the bandwidth of the links, and no longer with GPUs beyond two nodes (NVIDIA/nccl issue 986).
Does not know: the machine at hand. Cards on PCIe have a few channels where NVLink has two dozen.
"""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files

from finefit.nouns.range import Range, Reason, around
from finefit.units import MIB, human_bytes

LEAST_BYTES = 64 * MIB
"""Guessed: two channels of a few buffers of 4 MiB each (NCCL_BUFFSIZE)."""


@cache
def rows() -> tuple[tuple[int, int, str], ...]:
    """(GPUs, bytes, where it was read), the fewest GPUs first."""
    text = (files("finefit.catalog") / "nccl.csv").read_text(encoding="utf-8")
    found = csv.DictReader(text.splitlines())
    return tuple((int(row["gpus"]), int(row["mib"]) * MIB, f"{row['machine']}: {row['source']}") for row in found)


def communicator(gpus: int) -> Range:
    """Of one process among so many."""
    if gpus < 2:
        return Range(0, 0, 0, ())
    typical = max(nbytes for of, nbytes, where in rows() if of <= gpus and "A100" in where)
    most = max(nbytes for _, nbytes, _ in rows())
    why = (
        f"{human_bytes(typical)} on A100 with NVLink, {human_bytes(most)} elsewhere (NVIDIA/nccl issues 964 and 864); "
        "fewer links have fewer channels"
    )
    return around(typical, (Reason("NCCL", typical - LEAST_BYTES, most - typical, "guessed", why),))
