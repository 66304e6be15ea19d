"""Which block a request gets, and what happens where the device is full. Names in brackets are torch's."""

from __future__ import annotations

import math
from dataclasses import dataclass

from finefit.units import MIB, human_bytes

from .blocks import ADDRESS_BITS, Block, Pool
from .segments import LARGE_BUFFER, SMALL_BUFFER, SMALL_SIZE, Device, Pages, WholeSegments, segment_size

MIN_BLOCK = 512
"""Every request is rounded up to a multiple of this [kMinBlockSize]."""
MAX_NON_SPLIT_ROUNDING = 20 * MIB
"""How much larger than its request an oversize block may be [max_non_split_rounding_size]."""


@dataclass(frozen=True)
class Settings:
    """What PYTORCH_CUDA_ALLOC_CONF may say here."""

    expandable_segments: bool = False
    max_split_size_bytes: int | None = None
    # blocks of so many bytes are oversize: never split, and only for requests of nearly their size

    def __post_init__(self) -> None:
        assert self.max_split_size_bytes is None or self.max_split_size_bytes >= LARGE_BUFFER, "torch wants 20 MiB"


class OutOfMemory(Exception):
    """The device is full, and what was cached could not make room."""

    def __init__(self, asked_bytes: int, free_bytes: int, cached_bytes: int) -> None:
        self.asked_bytes = asked_bytes
        # the segment that was wanted, as torch's own message says
        self.free_bytes = free_bytes
        # of the device
        self.cached_bytes = cached_bytes
        # reserved, and not allocated
        self.position: int | None = None
        # in a replay: the event that found no room
        super().__init__(
            f"{human_bytes(asked_bytes)} were asked for; {human_bytes(free_bytes)} are free, "
            f"and {human_bytes(cached_bytes)} are reserved in pieces that do not serve"
        )


class Allocator:
    """The allocator of one device, on one stream [DeviceCachingAllocator].

    `allocated_bytes` is torch.cuda.memory_allocated(): the sizes of the blocks handed out, with the rounding and with
    any rest too small to split off. (torch's requested_bytes are without these; its active_bytes add blocks that other
    streams still use.) `reserved_bytes` is torch.cuda.memory_reserved(): the segments or pages taken from the device.
    """

    def __init__(self, capacity_bytes: int | None, settings: Settings) -> None:
        self._device = Device(capacity_bytes)
        self._expandable = settings.expandable_segments
        self._whole = WholeSegments(self._device)
        self._source = Pages(self._device) if self._expandable else self._whole
        self._oversize = settings.max_split_size_bytes or math.inf
        self.small = Pool(SMALL_BUFFER, least_rest=MIN_BLOCK)
        self.large = (
            Pool(LARGE_BUFFER, least_rest=MIN_BLOCK)
            if self._expandable
            else Pool(LARGE_BUFFER, least_rest=SMALL_SIZE + MIN_BLOCK, split_below=self._oversize)
        )
        self.allocated_bytes = 0
        self.peak_allocated_bytes = 0
        self.retries = 0
        # how often the cache was emptied because the device was full; the GPU stands still for it [num_alloc_retries]

    @property
    def reserved_bytes(self) -> int:
        return self._device.reserved_bytes

    @property
    def peak_reserved_bytes(self) -> int:
        return self._device.peak_reserved_bytes

    def allocate(self, nbytes: int) -> Block:
        """A block of at least `nbytes`, or `OutOfMemory` [malloc]. For no bytes no memory is taken."""
        size = -(-nbytes // MIN_BLOCK) * MIN_BLOCK
        pool = self.small if size <= SMALL_SIZE else self.large
        if not size:
            return Block(pool, 0, 0)
        block = self._best_fit(pool, size) or self._fresh(pool, size)
        if block.size - size >= pool.least_rest and size < pool.split_below:
            pool.hold(block.split(size))
        block.free = False
        self.allocated_bytes += block.size
        if self.allocated_bytes > self.peak_allocated_bytes:
            self.peak_allocated_bytes = self.allocated_bytes
        return block

    def free(self, block: Block) -> None:
        """The block goes back to its pool, joined with its free neighbours [free_block]."""
        if not block.size:
            return
        assert not block.free, "a block is freed once"
        self.allocated_bytes -= block.size
        block.free = True
        block.absorb_neighbours()
        block.pool.hold(block)

    def empty_cache(self) -> None:
        """torch.cuda.empty_cache(): segments or pages that are wholly free go back [release_cached_blocks]."""
        self._source.release(self.large)
        self._source.release(self.small)

    def _best_fit(self, pool: Pool, size: int) -> Block | None:
        """The smallest free block that is large enough; of equals the one at the lowest address [get_free_block]."""
        place = pool.from_size(size)
        if place == len(pool.keys):
            return None
        if self._expandable:
            place = _tightest(pool, place)
        found, oversize = pool.keys[place] >> ADDRESS_BITS, self._oversize
        if found >= (oversize if size < oversize else size + MAX_NON_SPLIT_ROUNDING):
            return None
        return pool.take(place)

    def _fresh(self, pool: Pool, size: int) -> Block:
        """Memory from the device; where it is full, at the second or third attempt [malloc, alloc_block]."""
        block = self._source.grow(pool, size)
        if block is None and self._release_oversize(pool, size):
            block = self._source.grow(pool, size)
        if block is None:
            self.empty_cache()
            self.retries += 1
            block = self._source.grow(pool, size)
        if block is None:
            assert self._device.capacity_bytes is not None, "only a device with an end can be full"
            free = self._device.capacity_bytes - self.reserved_bytes
            raise OutOfMemory(segment_size(size), free, self.reserved_bytes - self.allocated_bytes)
        return block

    def _release_oversize(self, pool: Pool, size: int) -> bool:
        """Give back one oversize block that is large enough, or else the largest ones; True where that was enough
        [release_available_cached_blocks]."""
        if self._expandable or self._oversize == math.inf:
            return False
        place = pool.from_size(size)
        if place < len(pool.keys):
            self._whole.release_segment(pool.blocks[pool.keys[place]])
            return True
        released = 0
        for block in reversed(pool.free_blocks()):
            if block.size < self._oversize or released >= size:
                break
            self._whole.release_segment(block)
            released += block.size
        return released >= size


def _tightest(pool: Pool, place: int) -> int:
    """For best fit, a block before a hole counts as large as it can grow: so look on, as long as that gets less."""
    room = _room(pool.blocks[pool.keys[place]])
    for larger_place in range(place + 1, len(pool.keys)):
        larger = _room(pool.blocks[pool.keys[larger_place]])
        if larger >= room:
            break
        place, room = larger_place, larger
    return place


def _room(block: Block) -> int:
    hole = block.after
    return block.size if hole is None or hole.mapped else block.size + hole.size
