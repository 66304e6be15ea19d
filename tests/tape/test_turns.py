"""Loops through the layers, outside of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finefit.nouns.recording import Recording
from finefit.tape.expand import expand
from finefit.tape.layers import few_of, kept_of
from finefit.tape.sizes import Point
from finefit.tape.tape import Bounds, Take, Tape
from finefit.tape.turns import with_turns, with_turns_like, without_turns


@dataclass
class Pen:
    """Writes a recording, event by event."""

    blocks: int
    tokens: int = 1
    events: list[int] = field(default_factory=list)
    marks: list[tuple[int, str]] = field(default_factory=list)
    block_of: list[int | None] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    nbytes: list[int] = field(default_factory=list)

    def mark(self, phase: str) -> None:
        self.marks.append((len(self.events), f"0/0/{phase}"))

    def born(self, kind: str, nbytes: int, block: int | None = None) -> int:
        self.kinds.append(kind)
        self.nbytes.append(nbytes * self.tokens)
        self.block_of.append(block)
        self.events.append(len(self.nbytes))
        return len(self.nbytes)

    def died(self, *storages: int) -> None:
        self.events += [-storage for storage in storages]

    def told(self) -> Recording:
        names = list(dict.fromkeys(self.kinds))
        return Recording(
            blocks=self.blocks,
            nbytes=tuple(self.nbytes),
            kinds=tuple(map(names.index, self.kinds)),
            kind_names=tuple(("activation", "", "", name) for name in names),
            block_of=tuple(self.block_of),
            events=tuple(self.events),
            marks=(*self.marks, (len(self.events), "end")),
            parameters=10 * self.blocks,
            trainable_parameters=self.blocks,
        )


def balanced(
    layers: str, chunks: int = 0, routed: str = "aAc", is_freed_late: bool = False, tokens: int = 1
) -> Recording:
    """A step whose loss takes the routers of all layers of some kinds one after another, and a sum from one to the
    next, after a loop of so many chunks of tokens; backward goes through both loops from their ends. `is_freed_late`:
    what layers made in backward dies with the last of them."""
    pen, routers, saved, gradients = Pen(len(layers), tokens), {}, {}, {}
    for block, letter in enumerate(layers):
        pen.mark(f"forward/{block}")
        out = pen.born("out", 100, block)
        if letter in routed:
            routers[block] = pen.born("router", 8, block)
        saved[block] = out
    pen.mark("loss")
    parts = [(pen.born("logits", 50), pen.born("loss", 4)) for _ in range(chunks)]
    total = pen.born("zeros", 4)
    shares = {}
    for block in routers:
        shares[block] = pen.born("softmax", 16)
        more = pen.born("sum", 4)
        pen.died(total)
        total = more
    pen.mark("backward")
    for logits, loss in reversed(parts):
        gradient = pen.born("gradient of logits", 50)
        pen.died(logits, loss, gradient)
    for block, share in reversed(shares.items()):
        gradients[block] = pen.born("gradient of softmax", 16)
        pen.died(share)
    pen.died(total)
    late = []
    for block in reversed(range(len(layers))):
        pen.mark(f"backward/{block}")
        late.append(pen.born("made", 32, block))
        pen.died(saved[block])
        if block in routers:
            pen.died(gradients[block], routers[block])
        if not is_freed_late:
            pen.died(late.pop())
    pen.died(*late)
    pen.mark("optimizer")
    return pen.told()


MODELS = ("a" * 9, "A" * 9, "AAAA" + "a" * 9, "b" + "a" * 9, "ba" * 7, "ccccca" * 5, "bbbbba" * 5)


@pytest.mark.parametrize("is_freed_late", [False, True])
@pytest.mark.parametrize("chunks", [0, 1, 3, 5, 7])
@pytest.mark.parametrize("layers", MODELS)
def test_a_loop_through_the_layers_expands_with_them(layers: str, chunks: int, is_freed_late: bool) -> None:
    """To what all layers would have recorded, also beside a loop over something else, perhaps of as many turns."""

    def recorded(some: str) -> Recording:
        return balanced(some, chunks, is_freed_late=is_freed_late)

    shown = [kept_of(layers, kept) for kept in few_of(layers)]
    found, direct = expand([recorded(each) for each in shown], shown, layers), recorded(layers)
    assert found is not None
    assert (found.nbytes, found.block_of, found.marks) == (direct.nbytes, direct.block_of, direct.marks)
    assert [event for event in found.events if event > 0] == [event for event in direct.events if event > 0]
    assert sorted(found.events) == sorted(direct.events)


def test_a_tape_knows_its_loops_at_other_points() -> None:
    """One proof is enough: recordings at other points tell the same history, also where chunks of tokens are as many as
    the layers that were recorded."""

    def recorded(layers: str, point: Point) -> Recording:
        return balanced(layers, chunks=5, tokens=point.tokens)

    few, more, whole = "aaaaa", "aaaaaa", "a" * 12
    points = [Point(1, 593), Point(2, 512), Point(3, 1111)]
    tape = Tape((), Bounds(), {})
    for point in points:
        proof = (recorded(more, point),) if point == points[0] else ()
        tape = tape.with_take(Take(point, (few, more), recorded(few, point), proof))
    unseen = Point(2, 700)
    found, direct = tape.at(unseen, whole), recorded(whole, unseen)
    assert [history.points for history in tape.histories] == [tuple(points)]
    assert found is not None
    assert (found.nbytes, found.block_of, found.marks) == (direct.nbytes, direct.block_of, direct.marks)


@given(st.lists(st.integers(0, 3), max_size=40), st.text("ab", min_size=5, max_size=8))
def test_what_is_marked_can_be_unmarked(kinds: list[int], layers: str) -> None:
    """Whatever was taken for a loop."""
    pen = Pen(len(layers))
    pen.mark("loss")
    for kind in kinds:
        pen.died(pen.born(str(kind), 8))
    told = pen.told()
    (marked,) = with_turns([told], [layers])
    assert without_turns(marked) == told
    assert marked.events == told.events
    assert with_turns_like(marked, told, layers) == marked


def test_turns_that_more_layers_do_not_lengthen_are_none() -> None:
    """Five chunks beside five layers, and beside six."""
    few, more = balanced("aaaaa", chunks=5, routed=""), balanced("aaaaaa", chunks=5, routed="")
    assert with_turns([few, more], ["aaaaa", "aaaaaa"]) == [few, more]
