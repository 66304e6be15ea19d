"""A recording of two steps as one of many."""

from __future__ import annotations

from dataclasses import replace

import pytest

from finefit.nouns.recording import Recording
from finefit.tape.allocator import Settings, replay
from finefit.tape.peaks import alive_at
from finefit.tape.steps import cuts_of, heirs, of_steps, same_steps

from ..conftest import Rehearsed

METHODS = ("lora", "qlora4")


def live_bytes(recording: Recording) -> int:
    return sum(recording.nbytes[number - 1] for number in alive_at(recording, len(recording.events)))


@pytest.mark.parametrize("method", METHODS)
def test_a_step_leaves_what_it_found(rehearsed: Rehearsed, method: str) -> None:
    """Each storage that the second step finds and drops has one heir, of its kind and size, and nothing else stays."""
    recording = rehearsed(method, 256)
    cuts, found = cuts_of(recording), heirs(recording)
    assert found, "a step finds something of the one before"
    before = alive_at(recording, cuts.second - 1)
    after = alive_at(recording, cuts.end - 1)
    assert set(found) == before - after
    assert sorted(found.values()) == sorted(after - before)
    assert all(recording.nbytes[old - 1] == recording.nbytes[new - 1] for old, new in found.items())


@pytest.mark.parametrize("method", METHODS)
def test_two_steps_are_the_recording(rehearsed: Rehearsed, method: str) -> None:
    """Event by event and byte by byte."""
    recording = rehearsed(method, 256)
    again = of_steps(recording, [recording.nbytes] * 2)
    assert again is not None
    assert (again.events, again.nbytes, again.kinds) == (recording.events, recording.nbytes, recording.kinds)


@pytest.mark.parametrize("method", METHODS)
def test_steps_that_are_alike_hold_and_reserve_alike(rehearsed: Rehearsed, method: str) -> None:
    """However many follow, as much is alive at the end, and the allocator takes no more."""
    recording = rehearsed(method, 256)
    longer = of_steps(recording, [recording.nbytes] * 5)
    assert longer is not None
    assert live_bytes(longer) == live_bytes(recording)
    two, five = (replay(each.events, each.nbytes, Settings()) for each in (recording, longer))
    assert five.peak_allocated_bytes == two.peak_allocated_bytes
    assert five.peak_reserved_bytes == two.peak_reserved_bytes


HELD = Recording(
    blocks=0,
    nbytes=(1, 10, 10),
    kinds=(0, 1, 1),
    kind_names=(("weight", "load", "", "adopted"), ("activation", "forward", "", "mm")),
    block_of=(None,) * 3,
    events=(1, 2, 3, -2),
    marks=((0, "0/0/load"), (1, "0/0/forward"), (2, "0/0/resident"), (2, "1/0/forward"), (4, "end")),
    parameters=0,
    trainable_parameters=0,
)
"""A weight, and an output that is held until the next one is there."""


def test_what_is_held_keeps_its_own_size() -> None:
    """Of the step that made it: a long output beside the short one that follows, then the short one alone."""
    mixed = of_steps(HELD, [(1, 10, 10), (1, 20, 20), (1, 5, 5)])
    assert mixed is not None
    live, curve = 0, []
    for event in mixed.events:
        live += mixed.nbytes[event - 1] if event > 0 else -mixed.nbytes[-event - 1]
        curve.append(live)
    assert curve == [1, 11, 31, 21, 26, 6]


def test_shorter_rows_are_the_same_step(rehearsed: Rehearsed) -> None:
    """Births and deaths do not depend on the length here; a longer history mixes them."""
    longest, shorter = rehearsed("lora", 256), rehearsed("lora", 128)
    assert same_steps(longest, shorter)
    assert not same_steps(longest, rehearsed("qlora4", 128))
    assert of_steps(longest, [shorter.nbytes, longest.nbytes, shorter.nbytes]) is not None


def test_a_step_that_leaves_more_than_it_found_is_refused(rehearsed: Rehearsed) -> None:
    """Nothing is played again that would grow: where the last death is missing, there is no history."""
    recording = rehearsed("lora", 256)
    end = cuts_of(recording).end
    last = max(place for place, event in enumerate(recording.events[:end]) if event < 0)
    marks = tuple((at - (at > last), label) for at, label in recording.marks)
    leaking = replace(recording, events=recording.events[:last] + recording.events[last + 1 :], marks=marks)
    assert of_steps(leaking, [leaking.nbytes] * 3) is None
