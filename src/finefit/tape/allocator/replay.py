"""A recording's births and deaths, replayed through the allocator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from finefit.units import MIB

from .allocate import MIN_BLOCK, Allocator, OutOfMemory, Settings
from .blocks import Block

PAGE = 2 * MIB
"""Every segment is a multiple of this, so capacities between two multiples are alike."""
EMPTY_CACHE = 0
"""An event that is no storage's: torch.cuda.empty_cache() is called."""
PROBES = 16
"""Capacities that `smallest_capacity` tries on its way down, before it bisects."""


@dataclass(frozen=True)
class Reserved:
    """What the allocator's counters say after a history."""

    peak_allocated_bytes: int
    # torch.cuda.max_memory_allocated()
    peak_reserved_bytes: int
    # torch.cuda.max_memory_reserved()
    reserved_at_peak_bytes: int
    # reserved as the allocated bytes reached their peak
    peak_position: int
    # the event that reached it; -1 where nothing is born
    retries: int
    # how often the cache had to be emptied to go on; each time the GPU stands still
    granted_bytes: tuple[int, ...] = ()
    # per storage, the block it was given: rounded, and with the rest that was too small to be split off


def replay(
    events: Sequence[int], nbytes: Sequence[int], settings: Settings, capacity_bytes: int | None = None
) -> Reserved:
    """Events are +n for the birth and -n for the death of storage n, counted from 1, or EMPTY_CACHE. Raises
    `OutOfMemory`.
    """
    allocator = Allocator(capacity_bytes, settings)
    blocks: dict[int, Block] = {}
    granted = [0] * len(nbytes)
    peak, peak_position, reserved_at_peak = 0, -1, 0
    for position, event in enumerate(events):
        if event < 0:
            if nbytes[-event - 1]:
                allocator.free(blocks.pop(-event))
        elif event == EMPTY_CACHE:
            allocator.empty_cache()
        elif nbytes[event - 1]:  # else it lives elsewhere
            try:
                block = blocks[event] = allocator.allocate(nbytes[event - 1])
            except OutOfMemory as full:
                full.position = position
                raise
            granted[event - 1] = block.size
            if allocator.peak_allocated_bytes > peak:
                peak, peak_position = allocator.peak_allocated_bytes, position
                reserved_at_peak = allocator.reserved_bytes
    return Reserved(
        peak, allocator.peak_reserved_bytes, reserved_at_peak, peak_position, allocator.retries, tuple(granted)
    )


def smallest_capacity(events: Sequence[int], nbytes: Sequence[int], settings: Settings) -> int:
    """The capacity, in whole pages of 2 MiB, that survives where one page less does not.

    Survival is not monotone: a smaller device empties its cache earlier, which may leave fewer segments in pieces, and
    so it can survive where a somewhat larger one does not. Recorded training steps do this too. Therefore this goes
    down from what is reserved where there is no pressure, in PROBES steps, to the first that fails, and bisects there:
    all steps above the answer survived. A gap between two steps may have gone unseen.
    """
    survives = replay(events, nbytes, settings).peak_reserved_bytes // PAGE
    fails = _live_peak(events, nbytes) // PAGE - 1
    step = max(1, (survives - fails) // PROBES)
    while survives - step > fails:
        lower = _least_alike(events, nbytes, settings, survives - step)
        if lower is None:
            fails = survives - step
            break
        survives = lower
    while survives - fails > 1:
        middle = (survives + fails) // 2
        lower = _least_alike(events, nbytes, settings, middle)
        survives, fails = (survives, middle) if lower is None else (lower, fails)
    return survives * PAGE


def _least_alike(events: Sequence[int], nbytes: Sequence[int], settings: Settings, pages: int) -> int | None:
    """The least capacity with the same history as this one, which is what this one reserves at most; None where it is
    out of memory."""
    try:
        return replay(events, nbytes, settings, pages * PAGE).peak_reserved_bytes // PAGE
    except OutOfMemory:
        return None


def _live_peak(events: Sequence[int], nbytes: Sequence[int]) -> int:
    """The rounded bytes of all that is alive at the fullest moment: no device with less can survive."""
    live = peak = 0
    for event in events:
        if event == EMPTY_CACHE:
            continue
        size = -(-nbytes[abs(event) - 1] // MIN_BLOCK) * MIN_BLOCK
        live += size if event > 0 else -size
        peak = max(peak, live)
    return peak
