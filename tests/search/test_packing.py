"""Rows that share sequences: as many as TRL makes, and taken where they are faster."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finefit import api
from finefit.errors import BadInput
from finefit.nouns.job import Job
from finefit.nouns.knobs import Knobs
from finefit.nouns.machine import Machine
from finefit.nouns.method import LoRA
from finefit.nouns.model import Model
from finefit.nouns.pace import Pace, Share
from finefit.nouns.workload import Lengths
from finefit.rehearsal.few import Rehearsals
from finefit.search.candidates import Asked
from finefit.search.choice import choose
from finefit.search.packing import packed, ways
from finefit.search.workload import epoch_seconds, packing_of, workload
from finefit.show.planned import packing_words

ROOM = 64
rows = st.lists(st.integers(1, ROOM), min_size=1, max_size=80).map(tuple)
LLAMA, BLOOM = Model("m", {"model_type": "llama"}), Model("m", {"model_type": "bloom"})
PACE = Pace((Share("all", 2.0, "derived", ""),), 1.5, 3.0, 1000)
DATA = "examples/stdlib/train.jsonl"


def by_trl(tokens: tuple[int, ...], length: int) -> list[int]:
    from datasets import Dataset
    from trl.data_utils import pack_dataset

    made = Dataset.from_dict({"input_ids": [[1] * count for count in tokens]})
    return sorted(map(len, pack_dataset(made, length, "bfd")["input_ids"]))


@settings(max_examples=10, deadline=None)
@given(rows)
def test_rows_are_packed_as_trl_packs_them(tokens: tuple[int, ...]) -> None:
    """As many sequences, each as long, as the real function makes of the same lengths."""
    assert sorted(map(sum, packed(tokens, ROOM))) == by_trl(tokens, ROOM)


def test_many_rows_are_packed_in_parts_as_trl_packs_them() -> None:
    """Each thousand by itself: two halves of a sequence in different thousands do not meet."""
    tokens = (40,) * 1000 + (24,) * 200
    assert len(packed(tokens, ROOM)) == 1000 + 100
    assert sorted(map(sum, packed(tokens, ROOM))) == by_trl(tokens, ROOM)


@given(rows)
def test_no_token_is_lost_and_no_sequence_too_long(tokens: tuple[int, ...]) -> None:
    found = packed(tokens, ROOM)
    assert sorted(count for sequence in found for count in sequence) == sorted(tokens)
    assert max(map(sum, found)) <= ROOM


def test_auto_is_asked_both_ways_where_something_is_known() -> None:
    """Without lengths there is nothing to gain, and rows that would see each other are not packed."""
    job, lengths = Job(model="m", data="", packing="auto", max_length=90), Lengths((64, 10), 1, is_guessed=False)
    asked = [(way.packing, way.max_length) for way in ways(job, LLAMA, lengths)]
    assert asked == [(False, 64), (True, 90)]
    assert [way.packing for way in ways(job, LLAMA, None)] == [False]
    assert [way.packing for way in ways(job, BLOOM, lengths)] == [False]
    assert [way.packing for way in ways(replace(job, packing=True), LLAMA, None)] == [True]
    assert ways(replace(job, packing=False), LLAMA, lengths)[0].max_length == 64
    with pytest.raises(BadInput, match="packing auto is a question"):
        choose(job, Machine(None))


def test_packed_rows_take_the_time_of_full_sequences() -> None:
    """By which a recipe is weighed, and the hours of a run."""
    tokens = (64, 10, 10, 40, 30)
    lengths, pace = Lengths(tokens, 1, is_guessed=False), replace(PACE, tokens=2 * ROOM)
    knobs = Knobs(ROOM, 1, 2, packing=True)
    job = Job(model="m", data="d", packing=True, max_length=ROOM, global_batch_size=2)
    asked = Asked(job, LoRA(), LLAMA, Machine(None), lengths)
    assert asked.own_tokens_per_second(knobs, pace) == pytest.approx(pace.tokens_per_second * sum(tokens) / (3 * ROOM))
    work = workload(Job(model="m", data="d", global_batch_size=2), knobs, pace, 1, lengths, None)
    assert (work.rows, work.steps, work.padded_tokens) == (5, 2, sum(tokens))
    assert work.seconds == pytest.approx(3 * ROOM / pace.tokens_per_second)


def test_short_rows_take_the_start_of_their_kernels_and_their_steps_optimizer() -> None:
    """However few tokens a micro-batch has; and never more than as many full ones."""
    shares = (Share("matrix products", 1.8, "derived", ""), Share("optimizer", 0.2, "derived", ""))
    pace = Pace(shares, 1.5, 3.0, 2 * ROOM, launch_seconds=0.9)
    knobs, tokens = Knobs(ROOM, 1, 2), (1,) * 10
    assert epoch_seconds(knobs, pace, 1, tokens, 0) == pytest.approx(5 * (0.9 + 0.2))
    assert epoch_seconds(knobs, pace, 1, (ROOM,) * 10, 0) == pytest.approx(5 * 2.0)
    assert epoch_seconds(replace(knobs, packing=True), pace, 1, tokens, 0) == pytest.approx(1.8 / 2 + 0.1)


def test_a_plan_says_what_packing_gains() -> None:
    """Sequences, what pads, steps, and hours where both are known; nothing where no two rows share a sequence."""
    lengths = Lengths((64, 10, 10, 40, 14), 1, is_guessed=False)
    job, apart = Job(model="m", data="d", max_length=ROOM), Knobs(ROOM, 5, 1)
    found = packing_of(job, (apart, PACE), None, 1, lengths, is_chosen=False)
    assert found is not None
    assert (found.rows, found.sequences, found.steps_apart, found.steps_packed) == (5, 3, 1, 1)
    assert found.padding == 1 - 138 / 320
    assert "57 % of what is read pads" in packing_words(found)
    both = packing_of(job, (apart, PACE), (replace(apart, packing=True), PACE), 1, lengths, is_chosen=True)
    assert both is not None
    assert both.seconds_apart is not None
    assert both.seconds_packed is not None
    assert both.seconds_packed < both.seconds_apart
    roomy = packing_of(
        job, (apart, PACE), (replace(apart, max_length=90, packing=True), PACE), 1, lengths, is_chosen=True
    )
    assert roomy is not None
    assert (roomy.length, roomy.sequences) == (90, 2)
    assert packing_of(job, (apart, PACE), None, 1, Lengths((64, 64), 1, is_guessed=False), is_chosen=False) is None


@pytest.fixture
def as_padded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packed sequences take what as many padded rows do."""

    def pretending(of: Any) -> Any:
        return lambda self, method, knobs, engine: of(self, method, replace(knobs, packing=False), engine)

    monkeypatch.setattr(Rehearsals, "few", pretending(Rehearsals.few))
    monkeypatch.setattr(Rehearsals, "whole", pretending(Rehearsals.whole))
    monkeypatch.setattr("finefit.api.searching._estimate", unpacked_estimate)


def unpacked_estimate(candidate: Any, job: Job, say: Any) -> Any:
    made = api.estimate(
        job.model, method=candidate.method, knobs=replace(candidate.knobs, packing=False), gpu=job.gpu, probes=False
    )
    return replace(made, knobs=candidate.knobs)


def test_auto_takes_the_faster(as_padded: None) -> None:
    """Where a packed step takes no longer than a padded one, packing is taken, and the plan says what it gains; what is
    pinned off stays off, with the same words about what it would."""
    job = Job(model="llama-3.2-1b", data=DATA, gpu="RTX4070", global_batch_size=8, max_length=2048)
    found = api.plan(replace(job, packing="auto"))
    assert found.choice is not None
    assert found.choice.knobs.packing
    assert found.packing is not None
    assert found.packing.is_chosen
    assert found.packing.sequences < found.packing.rows == 900
    assert found.packing.seconds_packed is not None
    assert found.packing.seconds_apart is not None
    assert found.packing.seconds_packed < found.packing.seconds_apart
    assert any(one.what.endswith(", packed") or "packed" not in one.what for one in found.passed_over)
    off = api.plan(job)
    assert off.choice is not None
    assert not off.choice.knobs.packing
    assert off.packing is not None
    assert not off.packing.is_chosen
    assert off.packing.sequences == found.packing.sequences


def test_no_tape_of_packed_rows_is_made_by_the_way() -> None:
    """A plan that leaves packing off rehearses nothing for it, and says what lengths alone tell."""
    job = Job(model="llama-3.2-1b", data=DATA, gpu="RTX4070", global_batch_size=8)
    found = api.plan(job)
    assert found.packing is not None
    assert not found.packing.is_chosen
    assert "packing (--packing) would let" in packing_words(found.packing)
