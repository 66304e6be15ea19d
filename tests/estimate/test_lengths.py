"""A run's own rows, replayed."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from finefit.catalog.gpus import gpu_named
from finefit.estimate.lengths import Rows, of_run
from finefit.estimate.reserved import REST, by_rows, reserved_by, serve
from finefit.nouns.knobs import Knobs
from finefit.nouns.recording import Recording
from finefit.nouns.schedule import MicroBatch, Step, chosen
from finefit.tape.allocator import Settings

from ..conftest import Rehearsed
from .test_reserved import large

GPU, KNOBS, PLAIN = gpu_named("A100-80GB"), Knobs(max_length=256), Settings()
TWICE = "lora, twice"


def step(*lengths: int, empties_cache: bool = False) -> Step:
    return Step(tuple(MicroBatch(1, length, length) for length in lengths), empties_cache)


def rows_of(rehearsed: Rehearsed, method: str, steps: list[Step]) -> tuple[Recording, Rows]:
    """With tensors as large as in real models (here: every byte 64 times)."""
    known = {length: large(rehearsed(method, length)) for length in (256, 192, 96)}
    return known[256], Rows(tuple(steps), {length: each.nbytes for length, each in known.items()})


def run(seed: int, steps: int, saves: int) -> list[Step]:
    """Random lengths, the longest in the second step."""
    chance = random.Random(seed)
    lengths = [[chance.randrange(64, 250), chance.randrange(64, 250), chance.randrange(64, 250)] for _ in range(steps)]
    lengths[1][-1] = 256
    return [step(*each, empties_cache=place > 1 and place % saves == 0) for place, each in enumerate(lengths)]


@pytest.mark.wide(1)
@pytest.mark.parametrize("method", [TWICE, "qlora4"])
def test_what_was_not_rehearsed_lies_on_the_curve(rehearsed: Rehearsed, method: str) -> None:
    """Of 256, 192 and 96 tokens are known; what a rehearsal of 128 says is met, but for what kernels round up."""
    _, rows = rows_of(rehearsed, method, [])
    asked, found = large(rehearsed(method, 128)).nbytes, rows.sizes(128)
    assert len(asked) == len(found)
    assert abs(sum(found) - sum(asked)) < 0.003 * sum(asked)
    assert sum(one == other for one, other in zip(asked, found, strict=True)) > 0.95 * len(asked)


@pytest.mark.parametrize("seed", range(3))
def test_the_chosen_steps_reserve_as_much_as_the_whole_schedule(rehearsed: Rehearsed, seed: int) -> None:
    """Of 72 micro-batches less than half is replayed: no more than small segments are missed."""
    whole = run(seed, 24, 8)
    few = chosen(whole)
    recording, rows = rows_of(rehearsed, TWICE, few)
    all_of_them = by_rows(recording, replace(rows, steps=tuple(whole)), KNOBS, PLAIN)
    found = by_rows(recording, rows, KNOBS, PLAIN)
    assert found is not None
    assert all_of_them is not None
    assert 2 * rows.micro_batches < 72
    assert -REST <= found - all_of_them <= 0.04 * all_of_them


def test_the_order_matters(rehearsed: Rehearsed) -> None:
    """The same rows, growing, reserve more than with the longest first; where the cache is emptied, growth counts
    again."""
    growing, falling = [step(64, 96), step(128, 160), step(192, 256)], [step(192, 256), step(128, 160), step(64, 96)]
    emptied = [*falling, step(64, 96, empties_cache=True), step(128, 160), step(192, 256)]
    found = []
    for steps in (falling, emptied, growing):
        recording, rows = rows_of(rehearsed, TWICE, steps)
        found.append(by_rows(recording, rows, KNOBS, PLAIN))
    falls, empties, grows = (nbytes or 0 for nbytes in found)
    assert falls < empties
    assert falls < grows


def test_the_likely_value_is_that_of_the_runs_own_rows(rehearsed: Rehearsed) -> None:
    """Derived, and it says how much was replayed; steps that are all alike are only the guess's."""
    recording, rows = rows_of(rehearsed, TWICE, [step(64, 128), step(200, 256)])
    served = serve(recording, KNOBS, GPU, rows=rows).reserved
    assert served.typical == by_rows(recording, rows, KNOBS, PLAIN)
    reason = served.reasons[0]
    assert (reason.basis, reason.above_bytes) == ("derived", REST)
    assert reason.why.startswith("4 micro-batches of 2 steps were replayed")


def test_where_shorter_rows_are_unknown_the_guess_stays(rehearsed: Rehearsed) -> None:
    """And says why."""
    recording, rows = rows_of(rehearsed, TWICE, [step(64, 128), step(200, 256)])
    unknown = replace(rows, known={256: recording.nbytes})
    assert of_run(recording, unknown) is None
    served, guessed = (serve(recording, KNOBS, GPU, rows=each).reserved for each in (unknown, None))
    assert (served.low, served.typical, served.high) == (guessed.low, guessed.typical, guessed.high)
    assert served.reasons[0].basis == "guessed"
    assert "another step" in served.reasons[0].why
    assert "another step" not in guessed.reasons[0].why


def test_rows_of_one_length_need_no_other(rehearsed: Rehearsed) -> None:
    """What steps that are all alike reserve."""
    recording = large(rehearsed(TWICE, 256))
    rows = Rows((step(256, 256), step(256, 256)), {256: recording.nbytes})
    alike = reserved_by(recording, [recording.nbytes] * 2, KNOBS, PLAIN)
    assert by_rows(recording, rows, KNOBS, PLAIN) == alike
