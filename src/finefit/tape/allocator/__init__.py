"""torch's native CUDA caching allocator, in plain Python: what a history of storages makes it reserve.

    blocks     blocks, and the pools that hold the free ones
    segments   how pools take memory from the device and give it back
    allocate   which block a request gets; what happens where the device is full
    replay     a recording's births and deaths through all that

It follows c10/cuda/CUDACachingAllocator.cpp and c10/core/AllocatorConfig.h (before 2.10 the constants stood in the
former) of torch 2.6 to 2.13, whose names stand in brackets. What differs between these versions:

- The 20 MiB of LARGE_BUFFER are kLargeBuffer until 2.10; since 2.11 large_segment_size_mb can change them.
- max_split_size_mb must be over 20 until 2.9, and 20 or more since 2.10.
- Of free blocks of one size 2.12 alone takes the one whose record is oldest [BlockComparatorRegistrationCounter], not
  the one at the lowest address. That is not modelled: on recorded training steps 2.12 reserved up to 0.7 % more.

Knows: one device, one stream, one process, and the settings that `Settings` has. Does not know: other streams and
record_stream, private pools (CUDA graphs, MemPool), garbage_collection_threshold, roundup_power2_divisions,
max_non_split_rounding_mb, large_segment_size_mb, memory fractions, changes of settings on the way, the
cudaMallocAsync backend; where cudaMalloc puts its segments (here each lies behind the one before, which decides among
equal blocks only); an expandable segment that reaches the end of its address space.
"""

from .allocate import Allocator, OutOfMemory, Settings
from .replay import EMPTY_CACHE, Reserved, replay, smallest_capacity

__all__ = ["EMPTY_CACHE", "Allocator", "OutOfMemory", "Reserved", "Settings", "replay", "smallest_capacity"]
