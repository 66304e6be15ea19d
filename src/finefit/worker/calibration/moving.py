"""Bytes that a device moves: through its memory, from the host, and from one GPU to another.

Knows: buffers larger than a card's cache, each byte that is read or written counted. Between GPUs: each to the
next one, and the slowest of these ways, since a ring is as slow as that. Does not know: several pairs at once, and what
NCCL makes of the ways.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from statistics import median

import torch

from finefit.nouns.calibration import Figure

from .clock import LEAST, Clock, rate

BYTES = 256 << 20
"""Of a buffer: five times the cache of an H100 (50 MB, NVIDIA)."""
HALF_BYTES = 2


def moving(clock: Clock) -> Iterator[Figure]:
    """Through the device's own memory."""
    count = BYTES // HALF_BYTES
    one, other, out = (torch.ones(count, dtype=torch.bfloat16, device=clock.device) for _ in range(3))
    of = f"{BYTES >> 20} MiB"
    yield rate("copy", of, "bytes/s", 2 * BYTES, clock.runs_of(lambda: out.copy_(one)))
    yield rate(
        "addition", f"bfloat16, {of}", "bytes/s", 3 * BYTES, clock.runs_of(lambda: torch.add(one, other, out=out))
    )


def from_host(clock: Clock) -> Figure:
    """From memory that the driver can read by itself."""
    host = torch.empty(BYTES, dtype=torch.uint8, pin_memory=True)
    there = torch.empty(BYTES, dtype=torch.uint8, device=clock.device)
    runs = clock.runs_of(lambda: there.copy_(host, non_blocking=True))
    return rate("copy from host", f"{BYTES >> 20} MiB, pinned", "bytes/s", BYTES, runs)


def between(count: int) -> Figure:
    """`count`: GPUs, each of which sends to the next one."""
    ways = [(_seconds(one, (one + 1) % count), one, (one + 1) % count) for one in range(count)]
    slowest, sender, receiver = max(ways, key=lambda way: median(way[0]))
    direct = "direct" if torch.cuda.can_device_access_peer(sender, receiver) else "through the host"
    of = f"{BYTES >> 20} MiB, from GPU {sender} to GPU {receiver}, {direct}"
    return rate("copy to peer", of, "bytes/s", BYTES, slowest)


def _seconds(sender: int, receiver: int) -> list[float]:
    here = torch.empty(BYTES, dtype=torch.uint8, device=f"cuda:{sender}")
    there = torch.empty(BYTES, dtype=torch.uint8, device=f"cuda:{receiver}")
    _timed(lambda: there.copy_(here), sender, receiver)
    return [_timed(lambda: there.copy_(here), sender, receiver) for _ in range(2 * LEAST)]


def _timed(call: Callable[[], object], *devices: int) -> float:
    """By the processor's clock: an event is of one device."""
    for device in devices:
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    call()
    for device in devices:
        torch.cuda.synchronize(device)
    return time.perf_counter() - started
