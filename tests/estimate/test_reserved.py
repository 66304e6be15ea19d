"""Reserved memory as a range."""

from __future__ import annotations

from dataclasses import replace

import pytest

from finefit.catalog.gpus import gpu_named
from finefit.estimate.load import loaded
from finefit.estimate.reserved import after_shorter, reserved_by, serve
from finefit.nouns.knobs import Knobs
from finefit.nouns.recording import Recording
from finefit.tape.allocator import OutOfMemory, Settings, replay
from finefit.units import MIB

from ..conftest import Rehearsed

T4 = gpu_named("T4")
KNOBS = Knobs(max_length=256)
PLAIN = Settings()


def large(recording: Recording) -> Recording:
    return replace(recording, nbytes=tuple(64 * nbytes for nbytes in recording.nbytes))


@pytest.mark.parametrize("method", ["lora", "qlora4"])
def test_the_range_holds_what_steps_of_one_length_reserve(rehearsed: Rehearsed, method: str) -> None:
    """Typical is the replay of the load and of steps that are all alike; no range begins under what is allocated."""
    recording = rehearsed(method, 256)
    served, history = serve(recording, KNOBS, T4), loaded(recording, KNOBS.dtype)
    alike = replay(history.events, history.nbytes, PLAIN)
    assert served.reserved.typical == alike.peak_reserved_bytes
    assert alike.peak_allocated_bytes <= served.reserved.low <= served.reserved.typical < served.reserved.high
    assert served.granted_bytes == alike.granted_bytes[: len(recording.nbytes)]


def test_the_width_is_the_sum_of_its_reasons(rehearsed: Rehearsed) -> None:
    """Every byte between low and high has a reason that says what it rests on; the device has one more, its context."""
    served = serve(rehearsed("lora", 256), KNOBS, T4)
    for known, count in ((served.reserved, 2), (served.device, 3)):
        assert len(known.reasons) == count
        assert known.typical - known.low == sum(reason.below_bytes for reason in known.reasons)
        assert known.high - known.typical == sum(reason.above_bytes for reason in known.reasons)
        assert all(reason.why for reason in known.reasons)


def test_what_shorter_rows_do_is_replayed_where_it_is_known(rehearsed: Rehearsed) -> None:
    """Rows of half the length, then the longest: derived; where no such recording is at hand, guessed."""
    recording, shorter = rehearsed("lora", 256), rehearsed("lora", 128)
    known, unknown = serve(recording, KNOBS, T4, shorter), serve(recording, KNOBS, T4)
    assert [served.reserved.reasons[0].basis for served in (known, unknown)] == ["derived", "guessed"]
    varied = after_shorter(recording, shorter, KNOBS, PLAIN)
    assert varied == reserved_by(recording, [shorter.nbytes, recording.nbytes], KNOBS, PLAIN)
    reason = known.reserved.reasons[0]
    assert varied == known.reserved.typical + reason.above_bytes - reason.below_bytes


def test_what_came_before_matters(rehearsed: Rehearsed) -> None:
    """Where tensors are as large as in real models (here: every byte 64 times), a step of half the length before the
    longest reserves otherwise than one of the same length, and so the range is wider, to either side.
    """
    recording, shorter = large(rehearsed("lora", 256)), large(rehearsed("lora", 128))
    alike = reserved_by(recording, [recording.nbytes] * 2, KNOBS, PLAIN)
    varied = after_shorter(recording, shorter, KNOBS, PLAIN)
    assert alike is not None
    assert varied is not None
    assert abs(varied - alike) > 0.02 * alike
    known = serve(recording, KNOBS, T4, shorter).reserved
    assert known.typical == alike
    assert known.low <= varied <= known.high


def test_shorter_rows_after_the_longest_add_little(rehearsed: Rehearsed) -> None:
    """They find blocks that are large enough: at most 20 MiB more, one segment."""
    recording, shorter = rehearsed("lora", 256), rehearsed("lora", 128)
    alike = reserved_by(recording, [recording.nbytes] * 2, KNOBS, PLAIN)
    falling = reserved_by(recording, [recording.nbytes, shorter.nbytes, recording.nbytes], KNOBS, PLAIN)
    assert alike is not None
    assert falling is not None
    assert falling <= alike + 20 * MIB


def test_another_history_is_not_mixed_in(rehearsed: Rehearsed) -> None:
    """Rows of another step, with other births and deaths, are no shorter rows of this one."""
    assert after_shorter(rehearsed("lora", 256), rehearsed("qlora4", 128), KNOBS, PLAIN) is None


def test_the_smallest_device_survives(rehearsed: Rehearsed) -> None:
    """With so much beside the context the whole history is served, and with less than is allocated it is not."""
    recording = rehearsed("lora", 256)
    room = serve(recording, KNOBS, T4)
    assert room.smallest_bytes is None
    served = serve(recording, KNOBS, replace(T4, vram_bytes=room.device.typical))
    history, context = loaded(recording, KNOBS.dtype), served.device.typical - served.reserved.typical
    assert served.smallest_bytes is not None
    capacity = served.smallest_bytes - context
    assert replay(history.events, history.nbytes, PLAIN, capacity).peak_reserved_bytes <= capacity
    assert capacity <= served.reserved.typical
    with pytest.raises(OutOfMemory):
        replay(history.events, history.nbytes, PLAIN, sum(served.granted_bytes[:1]))


def test_expandable_segments_are_replayed_as_such(rehearsed: Rehearsed) -> None:
    """The knob reaches the allocator: what it reserves is a multiple of its pages, and near what is allocated."""
    recording = rehearsed("lora", 256)
    expandable = serve(recording, replace(KNOBS, expandable_segments=True), T4)
    history = loaded(recording, KNOBS.dtype)
    alike = replay(history.events, history.nbytes, Settings(expandable_segments=True))
    assert expandable.reserved.typical == alike.peak_reserved_bytes
    assert {reason.basis for reason in expandable.reserved.reasons} == {"guessed"}
