"""torch's caching allocator, modelled: worked examples, torch's own numbers, and laws of every history."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finefit.tape.allocator import EMPTY_CACHE, Allocator, OutOfMemory, Settings, replay, smallest_capacity
from finefit.tape.allocator.blocks import Block
from finefit.units import KIB, MIB

WHOLE = Settings()
PAGES = Settings(expandable_segments=True)
OVERSIZE = Settings(max_split_size_bytes=32 * MIB)
OVERSIZE_PAGES = Settings(expandable_segments=True, max_split_size_bytes=32 * MIB)
PAGE = 2 * MIB


def counters(allocator: Allocator) -> tuple[int, int]:
    return allocator.allocated_bytes, allocator.reserved_bytes


# Worked examples, by hand from the source


@pytest.mark.parametrize(
    ("asked", "allocated", "whole", "pages"),
    [
        (1, 512, 2 * MIB, 2 * MIB),
        (512, 512, 2 * MIB, 2 * MIB),
        (513, KIB, 2 * MIB, 2 * MIB),
        (MIB, MIB, 2 * MIB, 2 * MIB),
        (MIB + 1, MIB + 512, 20 * MIB, 20 * MIB),
        (10 * MIB - 512, 10 * MIB - 512, 20 * MIB, 20 * MIB),
        (10 * MIB - 1, 10 * MIB, 10 * MIB, 20 * MIB),
        (10 * MIB, 10 * MIB, 10 * MIB, 20 * MIB),
        (10 * MIB + 1, 10 * MIB + 512, 12 * MIB, 20 * MIB),
        (50 * MIB, 50 * MIB, 50 * MIB, 60 * MIB),
    ],
)
def test_what_one_request_takes(asked: int, allocated: int, whole: int, pages: int) -> None:
    """Rounded to 512; segments of 2 MiB, 20 MiB or whole 2 MiB by the rounded request; pages of 2 and 20 MiB."""
    for settings, reserved in ((WHOLE, whole), (PAGES, pages)):
        allocator = Allocator(None, settings)
        allocator.allocate(asked)
        assert counters(allocator) == (allocated, reserved)


@pytest.mark.parametrize(
    ("asked", "whole", "pages"),
    [
        (19 * MIB, 20 * MIB, 19 * MIB),
        (19 * MIB - 512, 19 * MIB - 512, 19 * MIB - 512),
    ],
)
def test_a_rest_of_1_mib_of_a_large_segment_counts_as_allocated(asked: int, whole: int, pages: int) -> None:
    """A large block is split for a rest over 1 MiB; expandable segments split at 512 bytes."""
    for settings, allocated in ((WHOLE, whole), (PAGES, pages)):
        allocator = Allocator(None, settings)
        allocator.free(allocator.allocate(asked))
        allocator.allocate(asked)
        assert counters(allocator) == (allocated, 20 * MIB)


def test_a_rest_of_512_bytes_of_a_small_segment_is_used() -> None:
    """A small block is split for a rest of 512 bytes."""
    allocator = Allocator(None, WHOLE)
    for asked in (MIB, MIB - 512, 512):
        allocator.allocate(asked)
    assert counters(allocator) == (2 * MIB, 2 * MIB)
    allocator.allocate(1)
    assert counters(allocator) == (2 * MIB + 512, 4 * MIB)


def test_the_smallest_fitting_block_at_the_lowest_address_is_taken() -> None:
    """Best fit goes by size, then by address, however long a block has been free."""
    allocator = Allocator(None, WHOLE)
    large, first, second = (allocator.allocate(size * MIB) for size in (60, 40, 40))
    for block in (large, second, first):
        allocator.free(block)
    assert allocator.allocate(39 * MIB + 1).address == first.address
    assert allocator.allocate(40 * MIB).address == second.address
    assert allocator.allocate(40 * MIB).address == large.address


def test_of_equal_blocks_of_an_expandable_segment_the_lowest_is_taken() -> None:
    """Where neither can grow, they are as in any segment."""
    allocator = Allocator(None, PAGES)
    blocks = [allocator.allocate(20 * MIB) for _ in range(4)]
    allocator.free(blocks[2])
    allocator.free(blocks[0])
    assert allocator.allocate(20 * MIB).address == 0


def test_small_and_large_requests_share_no_segment() -> None:
    """What the small pool has free serves no large request, and the other way round."""
    allocator = Allocator(None, WHOLE)
    allocator.free(allocator.allocate(20 * MIB))
    allocator.free(allocator.allocate(1))
    allocator.allocate(MIB)
    assert allocator.reserved_bytes == 22 * MIB
    allocator.allocate(MIB + 1)
    assert allocator.reserved_bytes == 22 * MIB


def test_nothing_takes_nothing() -> None:
    """A storage of no bytes has no block."""
    allocator = Allocator(0, WHOLE)
    allocator.free(allocator.allocate(0))
    assert counters(allocator) == (0, 0)


def test_an_oversize_block_is_for_requests_within_20_mib_and_is_not_split() -> None:
    """Blocks of max_split_size serve no smaller request, none that is 20 MiB smaller, and stay whole."""
    allocator = Allocator(None, OVERSIZE)
    allocator.free(allocator.allocate(60 * MIB))
    allocator.allocate(32 * MIB - 512)
    assert allocator.reserved_bytes == (60 + 32) * MIB
    allocator.allocate(40 * MIB)
    assert allocator.reserved_bytes == (60 + 32 + 40) * MIB
    allocated = allocator.allocated_bytes
    allocator.allocate(40 * MIB + 512)
    assert counters(allocator) == (allocated + 60 * MIB, (60 + 32 + 40) * MIB)


@pytest.mark.parametrize(
    ("cached", "asked", "reserved", "retries"),
    [
        ((50, 70, 10), 29, 70 + 10 + 30, 0),  # the smallest oversize block goes, and the 10 stays
        ((50, 70, 10), 100, 10 + 100, 0),  # no block is enough: the largest go, until they are
        ((34, 40, 50), 80, 34 + 80, 0),
        ((50, 40, 20), 100, 100, 1),  # all oversize blocks are not enough: everything goes
    ],
)
def test_under_pressure_oversize_blocks_go_back_before_the_whole_cache(
    cached: tuple[int, ...], asked: int, reserved: int, retries: int
) -> None:
    """One that is large enough, or else the largest ones until they are, or else everything."""
    allocator = Allocator(135 * MIB, OVERSIZE)
    for block in [allocator.allocate(size * MIB) for size in cached]:
        allocator.free(block)
    allocator.allocate(asked * MIB)
    assert (allocator.reserved_bytes, allocator.retries) == (reserved * MIB, retries)


def test_under_pressure_the_cache_is_emptied_once_and_then_memory_is_out() -> None:
    """Segments that are wholly free make room; pieces of a segment in use do not; the refusal says how much is left."""
    allocator = Allocator(100 * MIB, WHOLE)
    held = allocator.allocate(2 * MIB)  # of 20
    allocator.free(allocator.allocate(60 * MIB))
    allocator.allocate(70 * MIB)
    assert (allocator.reserved_bytes, allocator.retries) == (90 * MIB, 1)
    with pytest.raises(OutOfMemory) as caught:
        allocator.allocate(19 * MIB)
    full = caught.value
    assert (full.asked_bytes, full.free_bytes, full.cached_bytes) == (20 * MIB, 10 * MIB, 18 * MIB)
    assert allocator.retries == 2
    allocator.free(held)
    allocator.allocate(20 * MIB)
    assert counters(allocator) == (90 * MIB, 90 * MIB)


def test_pages_are_mapped_behind_the_last_free_block() -> None:
    """An expandable segment grows by what its last block lacks."""
    allocator = Allocator(None, PAGES)
    allocator.allocate(15 * MIB)
    assert allocator.allocate(25 * MIB).address == 15 * MIB
    assert allocator.reserved_bytes == 40 * MIB


def test_pages_that_are_wholly_free_go_back_and_their_place_is_taken_first() -> None:
    """empty_cache unmaps whole pages within a free block; growth fills the hole, from the free bytes before it."""
    allocator = Allocator(None, PAGES)
    first, middle, _last = (allocator.allocate(size * MIB) for size in (15, 50, 15))
    allocator.free(middle)
    allocator.empty_cache()
    assert counters(allocator) == (30 * MIB, 40 * MIB)  # of 15..65, the pages 20..60 went
    assert allocator.allocate(42 * MIB).address == 15 * MIB
    assert allocator.reserved_bytes == 80 * MIB
    assert allocator.allocate(21 * MIB).address == 80 * MIB  # 57..65 are too few
    allocator.free(first)
    assert allocator.allocate(16 * MIB).address == 101 * MIB


def test_a_block_that_can_grow_counts_as_large_as_it_can_get() -> None:
    """Of two free blocks that fit, a larger one that cannot grow goes before the last of the segment."""
    allocator = Allocator(None, PAGES)
    inner = allocator.allocate(18 * MIB)
    allocator.allocate(5 * MIB)  # 17 MiB of the second page are left
    allocator.free(inner)
    assert allocator.allocate(16 * MIB).address == 0


# torch's own numbers


@pytest.mark.parametrize(
    ("asked", "segments"),
    [
        (512, [2 * MIB]),
        (MIB, [2 * MIB] * 2),
        (MIB + 512, [20 * MIB]),
        (10 * MIB - 512, [20 * MIB] * 2),
        (10 * MIB + 512, [12 * MIB] * 3),
    ],
)
def test_what_torch_expects_of_a_chain_of_clones(asked: int, segments: list[int]) -> None:
    """As in pytorch/test/test_cuda.py, test_graph_memory_stats_and_use_result_after_destroy_graph."""
    allocator = Allocator(None, WHOLE)
    result = allocator.allocate(asked)
    for _ in range(5):
        clone = allocator.allocate(asked)
        plus_one = allocator.allocate(asked)
        allocator.free(clone)
        allocator.free(result)
        result = plus_one
    assert counters(allocator) == (asked, sum(segments))
    allocator.empty_cache()
    assert allocator.reserved_bytes == segments[0]


def test_what_torch_expects_of_three_tensors_of_1_mib() -> None:
    """As in pytorch/test/test_cuda.py, test_mempool_with_allocator: the third begins a second segment of 2 MiB."""
    allocator = Allocator(None, WHOLE)
    reserved = []
    for _ in range(3):
        allocator.allocate(MIB)
        reserved.append(allocator.reserved_bytes)
    assert reserved == [2 * MIB, 2 * MIB, 4 * MIB]


def pseudo_random_history(seed: int) -> Iterator[tuple[bool, int, int]]:
    """400 times (birth or death, which, bytes), with Knuth's linear congruential generator."""

    def draw(below: int) -> int:
        nonlocal seed
        seed = (seed * 6364136223846793005 + 1442695040888963407) % 2**64
        return (seed >> 33) % below

    alive: list[int] = []
    born = 0
    for _ in range(400):
        if alive and draw(100) < 46:
            yield False, alive.pop(draw(len(alive))), 0
        else:
            born += 1
            alive.append(born)
            yield True, born, 1 + draw(2 ** (1 + draw(27)))


@pytest.mark.parametrize(
    ("seed", "settings", "capacity_pages", "refused", "peak_allocated", "peak_reserved", "checksum"),
    [
        (1, WHOLE, None, 0, 545929216, 629145600, 120618967429120),
        (1, WHOLE, 270, 1, 458077696, 526385152, 105533337064448),
        (1, WHOLE, 210, 4, 367130112, 394264576, 90658823836672),
        (1, PAGES, None, 0, 544602112, 612368384, 118667115758080),
        (1, PAGES, 262, 1, 457059840, 507510784, 103468202181120),
        (1, PAGES, 204, 4, 363546112, 381681664, 88816746518016),
        (1, OVERSIZE, None, 0, 564999680, 960495616, 137143189642240),
        (1, OVERSIZE, 412, 0, 564999680, 828375040, 134478449744896),
        (1, OVERSIZE, 320, 0, 564999680, 671088640, 128424993233920),
        (1, OVERSIZE_PAGES, None, 0, 544602112, 989855744, 136605336076800),
        (1, OVERSIZE_PAGES, 330, 0, 544602112, 633339904, 124898215723520),
        (2, WHOLE, None, 0, 144617984, 239075328, 21364050752000),
        (2, WHOLE, 79, 2, 117505536, 140509184, 18226942065152),
        (2, PAGES, None, 0, 144617984, 169869312, 18198330195968),
        (2, PAGES, 56, 4, 97318400, 106954752, 12011589682688),
        (2, OVERSIZE, None, 0, 165585408, 505413632, 42574172219904),
        (2, OVERSIZE, 168, 0, 146711040, 331350016, 30964724623872),
        (2, OVERSIZE_PAGES, 63, 1, 125201408, 127926272, 17429086472192),
        (3, WHOLE, None, 0, 218283008, 448790528, 46125715040256),
        (3, WHOLE, 149, 0, 218283008, 264241152, 32567499433984),
        (3, PAGES, None, 0, 218283008, 234881024, 30190572344832),
        (3, PAGES, 78, 2, 130233344, 148897792, 20125869269504),
        (3, OVERSIZE, 235, 0, 221885952, 478150656, 46842633166336),
        (3, OVERSIZE_PAGES, 155, 0, 218283008, 318767104, 29401374201344),
    ],
)
def test_what_torch_itself_counts(
    seed: int,
    settings: Settings,
    capacity_pages: int | None,
    refused: int,
    peak_allocated: int,
    peak_reserved: int,
    checksum: int,
) -> None:
    """The counters of the libc10_cuda that torch ships (2.6.0, 2.7.1, 2.8.0, 2.9.1, 2.10.0, 2.11.0, 2.12.1, 2.13.0: all
    alike), which took its memory from a stand-in for the CUDA runtime and driver that counts. The checksum is over the
    allocated and reserved bytes after every event."""
    allocator = Allocator(None if capacity_pages is None else capacity_pages * PAGE, settings)
    blocks: dict[int, Block] = {}
    refusals = total = 0
    for place, (birth, number, nbytes) in enumerate(pseudo_random_history(seed), start=1):
        if birth:
            try:
                blocks[number] = allocator.allocate(nbytes)
            except OutOfMemory:
                refusals += 1
        elif number in blocks:
            allocator.free(blocks.pop(number))
        total = (total + place * (3 * allocator.allocated_bytes + allocator.reserved_bytes)) % (2**61 - 1)
    assert (refusals, allocator.peak_allocated_bytes, allocator.peak_reserved_bytes, total) == (
        refused,
        peak_allocated,
        peak_reserved,
        checksum,
    )


# Laws of every history

SIZES = st.one_of(
    st.integers(0, 4 * KIB),
    st.integers(0, 60 * MIB),
    st.sampled_from([step * MIB + more for step in (1, 2, 10, 19, 20, 32, 40, 52) for more in (-512, -1, 0, 1, 512)]),
)
SETTINGS = st.sampled_from([WHOLE, PAGES, OVERSIZE, OVERSIZE_PAGES])


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Any history: storages are born, and some die in any order."""
    sizes = draw(st.lists(SIZES, max_size=30))
    events: list[int] = []
    alive: list[int] = []
    for number in range(1, len(sizes) + 1):
        events.append(number)
        alive.append(number)
        while alive and draw(st.booleans()):
            events.append(-alive.pop(draw(st.integers(0, len(alive) - 1))))
    return events, sizes


def states(
    history: tuple[list[int], list[int]], settings: Settings, capacity_bytes: int | None
) -> Iterator[tuple[Allocator, dict[int, Block]]]:
    """The allocator after every event; refused storages are never alive, and every seventh event empties the cache."""
    events, sizes = history
    allocator, alive = Allocator(capacity_bytes, settings), dict[int, Block]()
    for position, event in enumerate(events):
        if event > 0:
            try:
                alive[event] = allocator.allocate(sizes[event - 1])
            except OutOfMemory:
                assert capacity_bytes is not None
        elif -event in alive:
            allocator.free(alive.pop(-event))
        if position % 7 == 6:
            allocator.empty_cache()
        yield allocator, alive


def segments(allocator: Allocator, alive: dict[int, Block]) -> Iterator[list[Block]]:
    """The blocks of each segment in their order, found from what is alive and what the pools hold."""
    pools = (allocator.small, allocator.large)
    known = {id(block): block for pool in pools for block in (*pool.free_blocks(), *pool.holes)}
    known.update({id(block): block for block in alive.values() if block.size})
    for block in [block for block in known.values() if block.before is None]:
        chain = [block]
        while (after := chain[-1].after) is not None:
            chain.append(after)
        for each in chain:
            assert known.pop(id(each)) is each
        yield chain
    assert not known, "a block that no segment leads to"


@given(histories(), SETTINGS, st.none() | st.integers(0, 100).map(lambda pages: pages * PAGE))
def test_blocks_tile_their_segments_and_free_neighbours_are_joined(
    history: tuple[list[int], list[int]], settings: Settings, capacity_bytes: int | None
) -> None:
    """Each segment is its blocks, one behind the other; no two free neighbours are of one kind; the bytes add up."""
    for allocator, alive in states(history, settings, capacity_bytes):
        mapped = 0
        for chain in segments(allocator, alive):
            for block, after in pairwise(chain):
                assert after.before is block
                assert block.end == after.address
                assert not (block.free and after.free and block.mapped == after.mapped)
            assert all(block.size > 0 and block.size % 512 == 0 for block in chain)
            assert all(block.mapped or block.address % block.pool.page == 0 for block in chain)
            mapped += sum(block.size for block in chain if block.mapped)
        assert mapped == allocator.reserved_bytes
        assert sum(block.size for block in alive.values()) == allocator.allocated_bytes
        assert not any(block.free for block in alive.values() if block.size)
        assert allocator.allocated_bytes <= allocator.reserved_bytes
        assert capacity_bytes is None or allocator.reserved_bytes <= capacity_bytes


@given(histories(), SETTINGS, st.none() | st.integers(0, 100).map(lambda pages: pages * PAGE))
def test_when_all_is_free_all_goes_back(
    history: tuple[list[int], list[int]], settings: Settings, capacity_bytes: int | None
) -> None:
    """After every death, empty_cache leaves nothing reserved."""
    allocator, alive = Allocator(capacity_bytes, settings), dict[int, Block]()
    for allocator, alive in states(history, settings, capacity_bytes):  # noqa: B007 - the last state counts
        pass
    for block in alive.values():
        allocator.free(block)
    assert allocator.allocated_bytes == 0
    allocator.empty_cache()
    assert allocator.reserved_bytes == 0


@given(st.lists(SIZES, max_size=30))
def test_where_nothing_dies_an_expandable_segment_wastes_less_than_a_page(sizes: list[int]) -> None:
    """Each pool reserves its rounded bytes, rounded up to whole pages once."""
    rounded = [-(-size // 512) * 512 for size in sizes]
    small = sum(size for size in rounded if size <= MIB)
    large = sum(rounded) - small
    reserved = replay(range(1, len(sizes) + 1), sizes, PAGES).peak_reserved_bytes
    assert reserved == -(-small // (2 * MIB)) * 2 * MIB + -(-large // (20 * MIB)) * 20 * MIB


@given(histories(), SETTINGS)
def test_a_replay_is_deterministic_and_passes_where_the_device_has_what_it_reserves(
    history: tuple[list[int], list[int]], settings: Settings
) -> None:
    """With the reserved peak as capacity nothing changes, and nothing has to be retried."""
    events, sizes = history
    free = replay(events, sizes, settings)
    assert replay(events, sizes, settings, free.peak_reserved_bytes) == free
    assert free.retries == 0
    assert free.peak_allocated_bytes <= free.reserved_at_peak_bytes <= free.peak_reserved_bytes
    if free.peak_position >= 0:
        upto = replay(events[: free.peak_position + 1], sizes, settings)
        assert upto.peak_allocated_bytes == free.peak_allocated_bytes
        assert replay(events[: free.peak_position], sizes, settings).peak_allocated_bytes < free.peak_allocated_bytes


@given(histories(), SETTINGS)
def test_the_smallest_capacity_survives_and_a_page_less_does_not(
    history: tuple[list[int], list[int]], settings: Settings
) -> None:
    """It lies between the rounded bytes alive at the fullest moment and what is reserved without pressure."""
    events, sizes = history
    smallest = smallest_capacity(events, sizes, settings)
    live = [0]
    for event in events:
        size = -(-sizes[abs(event) - 1] // 512) * 512
        live.append(live[-1] + (size if event > 0 else -size))
    assert max(live) <= smallest <= replay(events, sizes, settings).peak_reserved_bytes
    assert replay(events, sizes, settings, smallest).peak_reserved_bytes <= smallest
    if smallest:
        with pytest.raises(OutOfMemory):
            replay(events, sizes, settings, smallest - PAGE)


def test_where_one_storage_lives_at_a_time_the_largest_is_the_smallest_capacity() -> None:
    """However much is cached where there is no pressure."""
    sizes = [size * MIB for size in range(50, 92, 2)]
    events = [event for number in range(1, len(sizes) + 1) for event in (number, -number)]
    assert replay(events, sizes, WHOLE).peak_reserved_bytes == sum(sizes)
    assert smallest_capacity(events, sizes, WHOLE) == max(sizes)


def test_a_larger_device_can_fail_where_a_smaller_one_survives() -> None:
    """The smaller one empties its cache in time; `smallest_capacity` answers above the gap."""
    sizes = [size * MIB for size in (40, 70, 15, 80)]
    events = [1, -1, 2, 3, -2, 4]
    assert replay(events, sizes, WHOLE, 100 * MIB).retries == 2
    with pytest.raises(OutOfMemory) as caught:
        replay(events, sizes, WHOLE, 110 * MIB)
    assert caught.value.position == 5
    assert smallest_capacity(events, sizes, WHOLE) == 120 * MIB


def test_an_event_may_empty_the_cache() -> None:
    """What is free goes back to the device; what follows is served anew, and less is reserved at once."""
    nbytes = [30 * MIB, 40 * MIB]
    kept = replay([1, -1, 2, -2], nbytes, Settings())
    emptied = replay([1, -1, EMPTY_CACHE, 2, -2], nbytes, Settings())
    assert (kept.peak_reserved_bytes, emptied.peak_reserved_bytes) == (70 * MIB, 40 * MIB)
    assert smallest_capacity([1, -1, EMPTY_CACHE, 2, -2], nbytes, Settings()) == 40 * MIB
