"""Blocks of device memory, and the pools that hold the free ones. Names in brackets are torch's."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from operator import attrgetter

ADDRESS_BITS = 56
"""A free block is sorted by its size, then its address, in one integer: faster to compare than a pair."""

by_address = attrgetter("address")


class Block:
    """A run of bytes in a segment: handed out, or free, or (of an expandable segment) without memory behind it."""

    __slots__ = ("address", "after", "before", "free", "mapped", "pool", "size")

    def __init__(self, pool: Pool, address: int, size: int, mapped: bool = True) -> None:
        self.pool = pool
        self.address = address
        self.size = size
        self.mapped = mapped
        self.free = True
        self.before: Block | None = None
        self.after: Block | None = None
        # its neighbours in the segment; a block without any is the whole segment

    @property
    def end(self) -> int:
        return self.address + self.size

    def split(self, size: int) -> Block:
        """Keeps the first `size` bytes; the rest becomes a block of its own, which no pool holds yet."""
        rest = Block(self.pool, self.address + size, self.size - size, self.mapped)
        rest.before, rest.after = self, self.after
        if self.after is not None:
            self.after.before = rest
        self.after = rest
        self.size = size
        return rest

    def absorb_neighbours(self) -> None:
        """Free neighbours become part of this block, where both or neither have memory behind them
        [try_merge_blocks]."""
        before, after = self.before, self.after
        if before is not None and before.free and before.mapped == self.mapped:
            self.pool.forget(before)
            self.address = before.address
            self.size += before.size
            self.before = before.before
            if self.before is not None:
                self.before.after = self
        if after is not None and after.free and after.mapped == self.mapped:
            self.pool.forget(after)
            self.size += after.size
            self.after = after.after
            if self.after is not None:
                self.after.before = self


class Pool:
    """The free blocks of one size class, and how its blocks are split [BlockPool, should_split]."""

    def __init__(self, page: int, least_rest: int, split_below: float = math.inf) -> None:
        self.page = page
        # the bytes that an expandable segment maps at once
        self.least_rest = least_rest
        # a block is split where at least so many bytes are left over
        self.split_below = split_below
        # and the request is smaller than this
        self.keys: list[int] = []
        # of the free blocks with memory behind them, sorted
        self.blocks: dict[int, Block] = {}
        # the same blocks by their keys
        self.holes: list[Block] = []
        # the blocks without memory, by address

    def hold(self, block: Block) -> None:
        if not block.mapped:
            insort(self.holes, block, key=by_address)
            return
        key = block.size << ADDRESS_BITS | block.address
        insort(self.keys, key)
        self.blocks[key] = block

    def forget(self, block: Block) -> None:
        if not block.mapped:
            del self.holes[bisect_left(self.holes, block.address, key=by_address)]
            return
        key = block.size << ADDRESS_BITS | block.address
        del self.keys[bisect_left(self.keys, key)]
        del self.blocks[key]

    def take(self, place: int) -> Block:
        """The block of that key, which is then nobody's."""
        return self.blocks.pop(self.keys.pop(place))

    def from_size(self, size: int) -> int:
        """The place in `keys` from which on blocks have at least `size` bytes."""
        return bisect_left(self.keys, size << ADDRESS_BITS)

    def free_blocks(self) -> list[Block]:
        """Those with memory behind them, from the smallest to the largest."""
        return [self.blocks[key] for key in self.keys]
