"""The load, as the allocator meets it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from finefit.estimate.load import History, Loading, loaded
from finefit.nouns.recording import Recording
from finefit.tape.allocator import EMPTY_CACHE

from ..conftest import Rehearsed

WEIGHTS = 3 * 7
"""Linear layers of the small model."""
ELEMENTS = 3 * (512 * 512 * 2 + 512 * 256 * 2 + 512 * 1024 * 3)
PLAIN = 2 * 2048 * 512 + 7 * 512
"""Elements of its embeddings, head and norms."""


def alive(history: History) -> dict[int, int]:
    found: dict[int, int] = {}
    for event in history.events:
        if event > 0:
            assert event not in found, "born once"
            found[event] = history.nbytes[event - 1]
        elif event != EMPTY_CACHE:
            found.pop(-event)
    return found


def only_in_the_load(recording: Recording, history: History) -> list[int]:
    return list(history.nbytes[len(recording.nbytes) :])


def test_what_is_not_quantised_comes_as_it_was_recorded(rehearsed: Rehearsed) -> None:
    """Moved tensor by tensor from the processor: nothing is added."""
    recording = rehearsed("lora", 256)
    assert loaded(recording, "bfloat16") == History(recording.events, recording.nbytes)


@pytest.mark.parametrize("method", ["qlora4", "single", "qlora8"])
def test_nothing_of_the_load_stays(rehearsed: Rehearsed, method: str) -> None:
    """At the end the same storages are alive as in the recording, each with its bytes, and the steps are the same."""
    recording = rehearsed(method, 256)
    history = loaded(recording, "bfloat16")
    assert alive(history) == alive(History(recording.events, recording.nbytes))
    assert history.nbytes[: len(recording.nbytes)] == recording.nbytes
    steps = recording.events[next(at for at, label in recording.marks if "load" not in label) :]
    assert history.events[-len(steps) :] == steps


@pytest.mark.parametrize(("method", "maxima"), [("qlora4", 2 * 4 * ELEMENTS // 64), ("single", 0)])
def test_each_weight_passes_in_full_precision(rehearsed: Rehearsed, method: str, maxima: int) -> None:
    """Two bytes an element of every linear layer; of the rest, two bytes until it is float32; one block for all."""
    recording = rehearsed(method, 256)
    extra = only_in_the_load(recording, loaded(recording, "bfloat16"))
    assert extra[0] == ELEMENTS // 2 + 2 * PLAIN
    assert sum(extra[1:]) == 2 * ELEMENTS + 2 * PLAIN + maxima


def test_eight_bits_pass_twice(rehearsed: Rehearsed) -> None:
    """Once to the GPU and back to the processor, then again to be packed."""
    recording = rehearsed("qlora8", 256)
    extra = only_in_the_load(recording, loaded(recording, "bfloat16"))
    assert extra[0] == ELEMENTS + 2 * PLAIN
    assert sum(extra[1:]) == 4 * ELEMENTS + 2 * PLAIN


@pytest.mark.parametrize("method", ["qlora4", "single", "qlora8"])
def test_what_is_packed_already_comes_as_it_is(rehearsed: Rehearsed, method: str) -> None:
    """No weight passes in full precision: one block for all, less than a block a weight, the rest until it is cast;
    what is alive at the end is the same, and so are the steps."""
    recording = rehearsed(method, 256)
    came, packed = (loaded(recording, "bfloat16", Loading(is_packed=is_packed)) for is_packed in (True, False))
    extra = only_in_the_load(recording, came)
    assert extra[0] == only_in_the_load(recording, packed)[0]
    assert sum(extra[1:]) == 512 * WEIGHTS + 2 * PLAIN
    assert alive(came) == alive(packed)
    steps = recording.events[next(at for at, label in recording.marks if "load" not in label) :]
    assert came.events[-len(steps) :] == steps


def test_the_cache_is_emptied_only_after_casts(rehearsed: Rehearsed) -> None:
    """Weights that are loaded in float32 are not cast."""
    recording = rehearsed("single", 256)
    assert loaded(recording, "bfloat16").events.count(EMPTY_CACHE) == 1
    assert EMPTY_CACHE not in loaded(recording, "float32").events


def test_a_recording_without_names_is_left_alone(rehearsed: Rehearsed) -> None:
    """Where weights do not say that they are packed, they come as they were recorded."""
    recording = rehearsed("qlora4", 256)
    names = tuple((*name[:3], "adopted") if name[1] == "load" else name for name in recording.kind_names)
    unnamed = replace(recording, kind_names=names)
    assert loaded(unnamed, "bfloat16") == History(recording.events, recording.nbytes)


def test_an_emptied_cache_serves_the_steps_anew(rehearsed: Rehearsed) -> None:
    """Once, when all is there and before the first step; the same storages live and die."""
    recording = rehearsed("lora", 256)
    plain, emptied = loaded(recording, "bfloat16"), loaded(recording, "bfloat16", Loading(is_emptied=True))
    place = emptied.events.index(EMPTY_CACHE)
    assert place == next(position for position, label in recording.marks if "load" not in label)
    assert [event for event in emptied.events if event != EMPTY_CACHE] == list(plain.events)
