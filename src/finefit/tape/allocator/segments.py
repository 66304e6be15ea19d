"""How pools take memory from the device and give it back: whole segments, or the pages of an expandable one.

Both kinds have `grow`, which makes a free block of at least `size` bytes that its pool does not hold yet, or None where
the device is full; and `release`, which gives back what is wholly free. Names in brackets are torch's.
"""

from __future__ import annotations

from dataclasses import dataclass

from finefit.units import MIB

from .blocks import Block, Pool

SMALL_SIZE = MIB
"""The largest request of the small pool [kSmallSize]."""
SMALL_BUFFER = 2 * MIB
"""A segment, or a page, of the small pool [kSmallBuffer]."""
LARGE_BUFFER = 20 * MIB
"""A segment for large requests under MIN_LARGE_ALLOC; a page of the large pool [kLargeBuffer, large_segment_size]."""
MIN_LARGE_ALLOC = 10 * MIB
"""A request of so many bytes takes a segment for itself [kMinLargeAlloc],"""
ROUND_LARGE = 2 * MIB
"""which is a multiple of this [kRoundLarge]."""
ENDLESS = 1 << 62


@dataclass
class Device:
    """The memory of a device, of which segments or pages are reserved."""

    capacity_bytes: int | None
    # None: as much as is asked for
    reserved_bytes: int = 0
    peak_reserved_bytes: int = 0

    def take(self, nbytes: int) -> bool:
        """All of it or nothing."""
        reserved = self.reserved_bytes + nbytes
        if self.capacity_bytes is not None and reserved > self.capacity_bytes:
            return False
        self.reserved_bytes = reserved
        self.peak_reserved_bytes = max(self.peak_reserved_bytes, reserved)
        return True

    def give_back(self, nbytes: int) -> None:
        self.reserved_bytes -= nbytes


def segment_size(size: int) -> int:
    """What a request takes from the device, where no free block serves it [get_allocation_size]."""
    if size <= SMALL_SIZE:
        return SMALL_BUFFER
    if size < MIN_LARGE_ALLOC:
        return LARGE_BUFFER
    return -(-size // ROUND_LARGE) * ROUND_LARGE


class WholeSegments:
    """Each segment is taken at once [cudaMalloc] and given back at once, when all of it is free [release_block]."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.next_address = 0

    def grow(self, pool: Pool, size: int) -> Block | None:
        nbytes = segment_size(size)
        if not self.device.take(nbytes):
            return None
        segment = Block(pool, self.next_address, nbytes)
        self.next_address = segment.end
        return segment

    def release(self, pool: Pool) -> None:
        for block in pool.free_blocks():
            if block.before is None and block.after is None:
                self.release_segment(block)

    def release_segment(self, segment: Block) -> None:
        segment.pool.forget(segment)
        self.device.give_back(segment.size)


class Pages:
    """A pool has one virtual segment, and memory is put behind it page by page [ExpandableSegment]."""

    def __init__(self, device: Device) -> None:
        self.device = device

    def grow(self, pool: Pool, size: int) -> Block | None:
        """Pages at the lowest address with room for `size` bytes [try_allocate_expandable_block]."""
        block = _lowest_room(pool, size)
        if not block.mapped and not self._map(block, min(size, block.size)):
            return None
        while block.size < size:
            hole = block.after
            assert hole is not None, "the segment has no end"
            if not self._map(hole, min(size - block.size, hole.size)):
                return None
            block = hole  # which has absorbed the block before it
        pool.forget(block)
        return block

    def release(self, pool: Pool) -> None:
        for block in pool.free_blocks():
            self._unmap(block)

    def _map(self, hole: Block, size: int) -> bool:
        """Memory for the first `size` bytes of a hole, in whole pages [map_block]."""
        pool = hole.pool
        nbytes = -(-size // pool.page) * pool.page
        if not self.device.take(nbytes):
            return False
        pool.forget(hole)
        if nbytes < hole.size:
            pool.hold(hole.split(nbytes))
        hole.mapped = True
        hole.absorb_neighbours()
        pool.hold(hole)
        return True

    def _unmap(self, block: Block) -> None:
        """The pages that lie wholly in a free block become a hole [unmap_block]."""
        pool = block.pool
        begin, end = -(-block.address // pool.page) * pool.page, block.end // pool.page * pool.page
        if begin >= end:
            return
        pool.forget(block)
        if begin > block.address:
            pages = block.split(begin - block.address)
            pool.hold(block)
            block = pages
        if end < block.end:
            pool.hold(block.split(end - begin))
        block.mapped = False
        block.absorb_neighbours()
        pool.hold(block)
        self.device.give_back(end - begin)


def _lowest_room(pool: Pool, size: int) -> Block:
    """A hole, or the free block before it, from which on `size` bytes are not handed out [find_expandable_block]."""
    if not pool.holes:
        pool.hold(Block(pool, 0, ENDLESS, mapped=False))
    for hole in pool.holes:
        start = hole.before if hole.before is not None and hole.before.free else hole
        room = 0
        block: Block | None = start
        while block is not None and block.free and room < size:
            room, block = room + block.size, block.after
        if room >= size:
            return start
    raise AssertionError("the last hole has no end")
