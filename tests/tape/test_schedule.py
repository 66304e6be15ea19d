"""A recording of two steps as a run's, micro-batch by micro-batch."""

from __future__ import annotations

from dataclasses import replace

import pytest

from finefit.nouns.recording import Recording
from finefit.tape.allocator import EMPTY_CACHE, Settings, replay
from finefit.tape.schedule import Played, of_schedule
from finefit.tape.steps import of_steps

from ..conftest import Rehearsed

BATCH_BYTES = 3 * 256 * 8
"""Token ids, mask and labels of a row."""
METHODS = ("lora", "qlora4", "lora, twice")


def live_bytes(recording: Recording) -> int:
    live = 0
    for event in recording.events:
        if event != EMPTY_CACHE:
            live += recording.nbytes[event - 1] if event > 0 else -recording.nbytes[-event - 1]
    return live


def born_and_dead(recording: Recording) -> bool:
    """Whether each storage is born once, in order, and dies at most once, after that."""
    alive: set[int] = set()
    for event in recording.events:
        if event > 0:
            alive.add(event)
        elif event:
            alive.remove(-event)
    born = [event for event in recording.events if event > 0]
    return born == list(range(1, len(recording.nbytes) + 1))


@pytest.mark.parametrize("method", METHODS)
def test_two_steps_as_recorded_are_the_recording(rehearsed: Rehearsed, method: str) -> None:
    """Event by event and byte by byte."""
    recording = rehearsed(method, 256)
    step = Played((recording.nbytes,) * (2 if "twice" in method else 1))
    again = of_schedule(recording, [step] * 2)
    assert again is not None
    assert (again.events, again.nbytes, again.kinds) == (recording.events, recording.nbytes, recording.kinds)


@pytest.mark.parametrize("method", METHODS)
def test_steps_of_one_micro_batch_are_of_steps(rehearsed: Rehearsed, method: str) -> None:
    """Where a step has as many micro-batches as were recorded, all of one length, both roads tell the same."""
    longest, shorter = rehearsed(method, 256), rehearsed(method, 128)
    sizes = [shorter.nbytes, longest.nbytes, shorter.nbytes, longest.nbytes]
    count = 2 if "twice" in method else 1
    one, other = of_steps(longest, sizes), of_schedule(longest, [Played((each,) * count) for each in sizes])
    assert one is not None
    assert other is not None
    assert (one.events, one.nbytes) == (other.events, other.nbytes)


def test_more_micro_batches_hold_no_more(rehearsed: Rehearsed) -> None:
    """However many a step has, as much is alive at the end, its peak is that of two, and each is born and dies once."""
    recording = rehearsed("lora, twice", 256)
    more = of_schedule(recording, [Played((recording.nbytes,) * 5)] * 3)
    assert more is not None
    assert born_and_dead(more)
    assert live_bytes(more) == live_bytes(recording)
    two, five = (replay(each.events, each.nbytes, Settings()) for each in (recording, more))
    assert five.peak_allocated_bytes == two.peak_allocated_bytes


def test_each_micro_batch_has_its_own_sizes(rehearsed: Rehearsed) -> None:
    """The peak of a step is that of its longest micro-batch, where that comes last; but for batches that wait."""
    long, short = rehearsed("lora, twice", 256), rehearsed("lora, twice", 128)
    peaks = []
    for order in [(long, short, short), (short, long, short), (short, short, long)]:
        played = of_schedule(long, [Played(tuple(each.nbytes for each in order))] * 2)
        assert played is not None
        assert born_and_dead(played)
        peaks.append(replay(played.events, played.nbytes, Settings()).peak_allocated_bytes)
    alike = replay(long.events, long.nbytes, Settings()).peak_allocated_bytes
    least = replay(short.events, short.nbytes, Settings()).peak_allocated_bytes
    assert all(least < peak <= alike for peak in peaks)
    assert alike - peaks[-1] <= BATCH_BYTES


def test_one_recorded_micro_batch_is_not_many(rehearsed: Rehearsed) -> None:
    """What a second one meets (the gradients of the first) was not recorded."""
    recording = rehearsed("lora", 256)
    assert of_schedule(recording, [Played((recording.nbytes,) * 2)] * 2) is None


def test_the_cache_is_emptied_where_the_run_empties_it(rehearsed: Rehearsed) -> None:
    recording = rehearsed("lora", 256)
    step = Played((recording.nbytes,))
    emptied = of_schedule(recording, [step, step, replace(step, empties_cache=True)])
    kept = of_schedule(recording, [step] * 3)
    assert emptied is not None
    assert kept is not None
    assert emptied.events.count(EMPTY_CACHE) == 1
    assert tuple(event for event in emptied.events if event) == kept.events
