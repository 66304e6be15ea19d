"""A recording that is written anew."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from finefit.nouns.recording import Recording
from finefit.tape.peaks import Kind
from finefit.tape.rewrite import ENTERING, LEAVING, Place, Rewrite

OLD, NEW = ("weight", "load", "", "adopted"), ("bucket", "backward", "", "reduce")
BORN = ((10, 0), (20, 1), (30, None), (40, 0))
"""Bytes and block of each storage."""
EVENTS = (1, 2, -1, 3, 4, -3, -2)
"""Storage 4 stays."""
MARKS = ((0, "0/0/load"), (2, "0/0/forward"), (2, "0/0/backward"), (5, "0/0/optimizer"), (7, "end"))


def recording() -> Recording:
    nbytes, blocks = zip(*BORN, strict=True)
    return Recording(2, nbytes, (0,) * len(BORN), (OLD,), blocks, EVENTS, MARKS, 0, 0)


def told(rewritten: Recording) -> list[str | tuple[bool, int]]:
    """What happens, in order: births and deaths by their bytes, and marks by their labels."""
    labels = list(rewritten.marks)
    found: list[str | tuple[bool, int]] = []
    for position in range(len(rewritten.events) + 1):
        while labels and labels[0][0] == position:
            found.append(labels.pop(0)[1])
        if position < len(rewritten.events):
            event = rewritten.events[position]
            found.append((event > 0, rewritten.nbytes[abs(event) - 1]))
    return found


def is_well_formed(rewritten: Recording) -> bool:
    """Storages are numbered by their births, none dies before or twice, and every column has a row for each."""
    births = [event for event in rewritten.events if event > 0]
    alive: set[int] = set()
    for event in rewritten.events:
        if event > 0:
            alive.add(event)
        elif -event in alive:
            alive.remove(-event)
        else:
            return False
    columns = (rewritten.nbytes, rewritten.kinds, rewritten.block_of)
    return births == list(range(1, len(births) + 1)) and {len(column) for column in columns} == {len(births)}


def test_without_an_edit_nothing_changes() -> None:
    """A recording that is told anew without an edit is the same recording."""
    assert Rewrite(recording()).told() == recording()


def test_what_is_dropped_never_was() -> None:
    """A dropped storage has no birth, no death and no row; the others keep their order."""
    rewrite = Rewrite(recording())
    rewrite.drop([2])
    rewritten = rewrite.told()
    assert is_well_formed(rewritten)
    assert told(rewritten) == [one for one in told(recording()) if one not in ((True, 20), (False, 20))]
    assert rewritten.block_of == (0, None, 0)


def test_a_place_is_before_or_after_its_mark() -> None:
    """What is said of the end of a segment comes before the mark, what is said of a beginning after it."""
    rewrite = Rewrite(recording())
    late = rewrite.born((5, ENTERING), 2, NEW)
    early = rewrite.born((5, LEAVING), 1, NEW)
    rewrite.dies(early, (5, ENTERING))
    rewrite.dies(late, (7, LEAVING))
    found = told(rewrite.told())
    at = found.index("0/0/optimizer")
    assert found[at - 1 : at + 3] == [(True, 1), "0/0/optimizer", (True, 2), (False, 1)]
    assert found[-2:] == [(False, 2), "end"]


def test_marks_of_one_position_keep_their_order() -> None:
    """Where nothing happens between two marks, what enters there enters the later segment, what leaves the earlier."""
    rewrite = Rewrite(recording())
    rewrite.born((2, LEAVING), 1, NEW)
    rewrite.born((2, ENTERING), 2, NEW)
    assert told(rewrite.told())[3:7] == [(True, 1), "0/0/forward", "0/0/backward", (True, 2)]


def test_an_old_storage_dies_where_it_is_said() -> None:
    """A storage that is said to die elsewhere no longer dies where it did, and one that stayed can die."""
    rewrite = Rewrite(recording())
    rewrite.dies(1, (7, LEAVING))
    rewrite.dies(4, (5, LEAVING))
    rewritten = rewrite.told()
    assert is_well_formed(rewritten)
    assert [event for event in told(rewritten) if event in ((False, 10), (False, 40))] == [(False, 40), (False, 10)]


def test_edits_of_one_place_happen_in_the_order_in_which_they_were_said() -> None:
    """First said, first done; what passes is never alive together with what passes next."""
    rewrite = Rewrite(recording())
    place: Place = (3, LEAVING)
    kept = rewrite.born(place, 1, NEW)
    rewrite.passes(place, 2, NEW)
    rewrite.dies(kept, place)
    rewrite.passes(place, 3, NEW)
    found = [one for one in told(rewrite.told()) if isinstance(one, tuple) and one[1] < 10]
    assert found == [(True, 1), (True, 2), (False, 2), (False, 1), (True, 3), (False, 3)]


def test_new_kinds_come_once_behind_the_old_ones() -> None:
    """A kind that is there already is not named again."""
    kinds: tuple[Kind, ...] = (NEW, OLD, NEW)
    rewrite = Rewrite(recording())
    for kind in kinds:
        rewrite.born((7, LEAVING), 1, kind)
    rewritten = rewrite.told()
    assert rewritten.kind_names == (OLD, NEW)
    assert rewritten.kinds == (0, 0, 0, 0, 1, 0, 1)


places = st.tuples(st.integers(0, len(EVENTS)), st.sampled_from((LEAVING, ENTERING)))


@given(
    st.sets(st.integers(1, len(BORN))),
    st.lists(st.tuples(st.lists(places, min_size=2, max_size=2).map(sorted), st.integers(1, 9))),
)
def test_whatever_comes_and_goes_the_rest_keeps_its_order(gone: set[int], new: list[tuple[list[Place], int]]) -> None:
    """Any storages dropped and any others put in leave a well-formed recording, in which what is left of the old one
    happens in its order, between the same marks."""
    rewrite = Rewrite(recording())
    rewrite.drop(gone)
    for (birth, death), nbytes in new:
        rewrite.dies(rewrite.born(birth, nbytes, NEW), death)
    rewritten = rewrite.told()
    assert is_well_formed(rewritten)
    assert all(earlier <= later for (earlier, _), (later, _) in pairwise(rewritten.marks))
    sizes = {nbytes for number, (nbytes, _) in enumerate(BORN, 1) if number in gone}
    left = [one for one in told(recording()) if isinstance(one, str) or one[1] not in sizes]
    assert [one for one in told(rewritten) if isinstance(one, str) or one[1] >= 10] == left
