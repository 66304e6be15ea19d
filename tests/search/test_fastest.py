"""The search, against trying everything."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from finefit.nouns.knobs import Knobs
from finefit.nouns.method import LoRA
from finefit.nouns.pace import Pace, Share
from finefit.nouns.planned import Candidate
from finefit.search.fastest import Search, choose_of, families, order

LAYERS = 12
BESIDE = 7


@dataclass(frozen=True)
class Room:
    """What recipes take: of each micro-batch, bytes and seconds by how many layers are checkpointed."""

    kept: int
    # bytes of a layer that is not checkpointed, for each row
    again: int
    # seconds of one that is, for each row
    call: int
    # seconds of a micro-batch, whatever it has
    ratio: tuple[int, ...]
    # percent of what is reserved over what is allocated, by the micro-batch


rooms = st.builds(
    Room,
    kept=st.integers(1, 50),
    again=st.integers(0, 5),
    call=st.integers(0, 20),
    ratio=st.tuples(*[st.integers(100, 140)] * 3),
)


def made(room: Room) -> list[Candidate]:
    found = []
    for batch in (1, 2, 4):
        for count in range(LAYERS + 1):
            knobs = Knobs(64, batch, 8 // batch, gradient_checkpointing=count)
            seconds = (8 // batch) * (room.call + batch * (30 + count * room.again))
            share = Share("all", float(seconds), "derived", "")
            peak = 100 + batch * (20 + (LAYERS - count) * room.kept)
            found.append(Candidate(LoRA(), knobs, None, peak, Pace((share,), 0.0, 1e9, 512)))
    return found


def device(room: Room, candidate: Candidate) -> int:
    """Falls with every layer that is checkpointed, as the allocator's does."""
    percent = room.ratio[(1, 2, 4).index(candidate.knobs.per_device_train_batch_size)]
    return candidate.peak_bytes * percent // 100 + BESIDE


def searched(room: Room, limit: int) -> tuple[Candidate | None, Search]:
    search = Search(limit, BESIDE, lambda candidate: device(room, candidate))
    return choose_of(made(room), search), search


@given(rooms, st.integers(100, 2500))
def test_nothing_that_fits_is_faster_than_the_choice(room: Room, limit: int) -> None:
    """And where there is no choice, nothing fits."""
    chosen, _ = searched(room, limit)
    fitting = [one for one in made(room) if device(room, one) <= limit]
    assert (chosen is None) == (not fitting)
    if chosen is not None:
        assert device(room, chosen) <= limit
        assert chosen.pace.step_seconds == min(one.pace.step_seconds for one in fitting)


@given(rooms, st.integers(100, 2500), st.integers(0, 500))
def test_more_memory_never_makes_the_choice_slower(room: Room, limit: int, more: int) -> None:
    less, _ = searched(room, limit)
    if less is not None:
        richer, _ = searched(room, limit + more)
        assert richer is not None
        assert order(richer) <= order(less)


@given(rooms, st.integers(100, 2500))
def test_few_recipes_are_checked_and_the_choice_is_one_of_them(room: Room, limit: int) -> None:
    """The allocator is asked about as often as it takes to halve each family; the global batch never changes."""
    chosen, search = searched(room, limit)
    assert len(search.known) <= 3 * 5
    if chosen is not None:
        assert search.weighed(chosen).is_checked
        assert chosen.knobs.per_device_train_batch_size * chosen.knobs.gradient_accumulation_steps == 8


@given(rooms)
def test_a_family_has_no_member_that_takes_more_and_is_no_faster(room: Room) -> None:
    for members in families(made(room)).values():
        assert all(one.peak_bytes < other.peak_bytes for one, other in pairwise(members))
        assert all(order(one) > order(other) for one, other in pairwise(members))
