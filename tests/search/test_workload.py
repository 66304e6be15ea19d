"""What a job's own rows take."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finefit import api
from finefit.errors import BadInput
from finefit.nouns.job import Job
from finefit.nouns.knobs import Knobs
from finefit.nouns.offer import Offer
from finefit.nouns.pace import Pace, Share
from finefit.nouns.workload import Lengths
from finefit.search.workload import padded, workload

rows = st.lists(st.integers(1, 500), min_size=1, max_size=60).map(tuple)
PACE = Pace((Share("all", 2.0, "derived", ""),), 1.5, 3.0, 1000)
OFFER = Offer("p", "g", 1, "on_demand", 3.6, "", "", "2026-11-01", "high", "s", "w", "n")
DATA = "examples/stdlib/train.jsonl"
ANSWER = {"role": "assistant", "content": "yes"}


@given(rows, st.integers(1, 70), st.integers(0, 5))
def test_padding_adds_and_never_takes_away(tokens: tuple[int, ...], micro_batch: int, seed: int) -> None:
    """One row alone is not padded; all rows together are as long as the longest."""
    assert padded(tokens, 1, seed) == sum(tokens)
    assert sum(tokens) <= padded(tokens, micro_batch, seed) <= max(tokens) * len(tokens)
    assert padded(tokens, len(tokens), seed) == max(tokens) * len(tokens)
    assert padded((max(tokens),) * 7, micro_batch, seed) == 7 * max(tokens)


@given(rows)
def test_hours_times_the_price_is_the_cost(tokens: tuple[int, ...]) -> None:
    job, knobs = Job(model="m", data="d", num_train_epochs=2), Knobs(max(tokens), 2, 4)
    work = workload(job, knobs, PACE, 1, Lengths(tokens, 1, is_guessed=False), OFFER)
    assert work.low < work.seconds < work.high
    assert work.usd == pytest.approx(work.seconds * 3.6 / 3600)
    assert work.steps == 2 * -(-len(tokens) // 8)
    assert work.tokens <= work.padded_tokens
    assert 0 < work.real_share <= 1
    longer = workload(replace(job, num_train_epochs=4), knobs, PACE, 1, Lengths(tokens, 1, is_guessed=False), None)
    assert longer.seconds == pytest.approx(2 * work.seconds, rel=0.01, abs=1)
    assert longer.usd is None


def test_a_plan_reads_the_jobs_own_rows() -> None:
    """The longest row is the length that is planned for, and no row is cut."""
    job = Job(model="llama-3.2-1b", data=DATA, gpu="RTX4070", global_batch_size=8)
    found = api.plan(job)
    assert found.choice is not None
    assert found.workload is not None
    assert found.workload.rows == 900
    assert found.workload.steps == 113
    length = found.choice.knobs.max_length
    with pytest.raises(BadInput, match=f"{DATA}:{found.workload.longest_line}"):
        api.plan(replace(job, max_length=length - 1))


def test_padding_speaks_for_smaller_micro_batches() -> None:
    """Of two recipes that are as fast by the token, the one that pads less is chosen."""
    job = Job(model="llama-3.2-1b", data=DATA, gpu="RTX4070", global_batch_size=8)
    own, alike = api.plan(job).choice, api.plan(replace(job, data="", max_length=100)).choice
    assert own is not None
    assert alike is not None
    assert own.knobs.per_device_train_batch_size <= alike.knobs.per_device_train_batch_size


def test_all_that_a_plan_says_of_speed_is_of_its_own_rows(tmp_path: Path) -> None:
    """Padding grows with the micro-batch: the order of recipes, their tokens a second and what advice costs agree."""
    words = [3 + number * number % 97 * (9 if number % 50 == 0 else 1) for number in range(300)]
    rows = [json.dumps({"messages": [{"role": "user", "content": "word " * n}, ANSWER]}) for n in words]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows))
    job = Job(model="llama-3.2-1b", data=str(tmp_path / "rows.jsonl"), gpu="RTX4070", global_batch_size=8)
    found = api.plan(job, builds=False)
    assert found.choice is not None
    assert found.workload is not None
    chosen = found.workload.own_tokens_per_second
    others = [one.candidate for one in found.alternatives]
    assert [chosen, *(one.tokens_per_second for one in others)] == sorted(
        [chosen, *(one.tokens_per_second for one in others)], reverse=True
    )
    rate_of = {one.knobs.per_device_train_batch_size: one.tokens_per_second for one in others}
    advised = {one.keys.get("per_device_train_batch_size"): one.time_lost for one in found.advice}
    both = rate_of.keys() & advised.keys()
    assert both
    for micro_batch in both:
        assert advised[micro_batch] == pytest.approx(chosen / rate_of[micro_batch] - 1, rel=1e-3)
        assert advised[micro_batch] > 0
