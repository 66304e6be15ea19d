"""Plans of real models, from the shipped tapes."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from finefit import api
from finefit.errors import BadInput
from finefit.estimate.rehearsed import spread
from finefit.nouns.engine import DDP, ZeroStage
from finefit.nouns.job import Job
from finefit.nouns.knobs import Knobs
from finefit.nouns.method import LoRA
from finefit.nouns.planned import NEARLY, Planned
from finefit.rehearsal.few import Rehearsals
from finefit.search.candidates import Asked, candidates
from finefit.search.dials import engines
from finefit.search.engine import refuse_undivided
from finefit.tape.peaks import CUDA_BLOCK_BYTES, phase_peaks
from finefit.world.gpus import machine_named
from finefit.world.models import find_model

SMALL = "llama-3.2-1b"
DIVIDED = "llama-3.2-3b"
"""Whose tapes for engines that divide it are shipped, too."""
STAGES: tuple[ZeroStage, ...] = (1, 2, 3)

pytestmark = pytest.mark.xdist_group("plans")


@cache
def planned(gpu: str, method: str = "lora", batch: int = 8, length: int = 1024, model: str = SMALL) -> Planned:
    job = Job(model=model, data="", method=method, gpu=gpu, max_length=length, global_batch_size=batch)  # type: ignore[arg-type]
    return api.plan(job)


def test_the_choice_fits_at_its_high_bound_and_no_other_that_fits_is_faster() -> None:
    """Every recipe of the grid is asked for by itself, with the allocator."""
    found = planned("RTX4060-8GB", batch=4)
    choice = found.choice
    assert choice is not None
    assert choice.verdict == "fits"
    assert choice.pace is not None
    model, machine = find_model(SMALL), machine_named("RTX4060-8GB")
    job = Job(model=SMALL, data="", gpu="RTX4060-8GB", max_length=1024, global_batch_size=4)
    asked = Asked(job, api.method_of(job), model, machine)
    every = list(candidates(asked, Rehearsals(model, machine, print), 10**12))
    assert len(every) > 20
    for one in every:
        if one.pace.step_seconds < choice.pace.step_seconds:
            told = api.estimate(SMALL, method=one.method, knobs=one.knobs, gpu="RTX4060-8GB", probes=False)
            assert told.verdict != "fits", one.knobs


def test_what_was_weighed_is_what_an_estimate_says() -> None:
    """The choice's time and allocated peak are those of its own whole recording."""
    found = planned("RTX4070")
    assert found.choice is not None
    assert found.choice.pace is not None
    told = api.estimate(SMALL, method=found.choice.method, knobs=found.choice.knobs, gpu="RTX4070")
    assert told.ledger.peak_bytes == found.choice.ledger.peak_bytes
    assert told.pace is not None
    assert told.pace.step_seconds == found.choice.pace.step_seconds


def test_a_plan_is_the_same_every_time() -> None:
    assert _facts(planned("RTX4070")) == _facts(planned.__wrapped__("RTX4070"))


def _facts(found: Planned) -> tuple[object, ...]:
    assert found.choice is not None
    return found.choice.knobs, found.alternatives, found.passed_over, found.weighed, found.checked


def test_the_batch_is_the_wish() -> None:
    """Micro-batch × accumulation is the global batch in the choice and in what is behind it."""
    found = planned("RTX4070")
    assert found.choice is not None
    of: list[Knobs] = [found.choice.knobs, *(one.candidate.knobs for one in found.alternatives)]
    assert len(of) >= 4
    assert {one.per_device_train_batch_size * one.gradient_accumulation_steps for one in of} == {8}


def test_what_does_not_fit_says_what_it_lacks() -> None:
    """No choice, but what lacks least, and a reason for each group of recipes."""
    found = planned("RTX4060-8GB", method="full", length=4096, model=DIVIDED)
    if found.choice is not None:
        assert found.choice.engine is not None  # it is in the host's memory then
        assert any("allocated at least" in one.why for one in found.passed_over)
    else:
        assert found.nearest is not None
        assert found.nearest.verdict != "fits"


def test_dividing_more_never_takes_more_for_the_states() -> None:
    """Of ZeRO's stages, at the same micro-batch, with every layer checkpointed."""
    model, machine = find_model(DIVIDED), machine_named("4xA100-80GB")
    job = Job(model=DIVIDED, data="", method="full", gpu="4xA100-80GB", max_length=512, global_batch_size=8)
    rehearsals = Rehearsals(model, machine, print)
    held: dict[int, int] = {}
    for stage in STAGES:
        asked = Asked(replace(job, zero_stage=stage), api.method_of(job), model, machine)
        knobs, engine = asked.knobs(1, "all")
        found = rehearsals.few(asked.method, knobs, engine)
        assert found is not None
        whole = rehearsals.whole(asked.method, knobs, engine)
        assert whole is not None
        rank = spread(whole[0], engine, knobs, whole[1].knobs, machine).recording
        states = {"weight", "optimizer", "master"}
        held[stage] = sum(
            nbytes for kind, nbytes in zip(rank.kinds, rank.nbytes, strict=True) if rank.kind_names[kind][0] in states
        )
    assert held[1] >= held[2] >= held[3] > 0
    assert held[1] > held[3]


def test_a_larger_card_of_the_same_speed_never_has_a_slower_plan() -> None:
    """The same chip with 40 and 80 GB."""
    small, large = (planned(f"A100-{size}GB-SXM4" if size == 40 else "A100-80GB", model=DIVIDED) for size in (40, 80))
    assert small.choice is not None
    assert large.choice is not None
    assert small.choice.pace is not None
    assert large.choice.pace is not None
    assert large.choice.pace.tokens_per_second >= small.choice.pace.tokens_per_second


@pytest.mark.parametrize("method", ["full", "lora"])
def test_engines_are_told_nearly_and_ddp_exactly(method: str) -> None:
    """Each recipe's allocated peak, against the composition of every layer."""
    model, machine = find_model(DIVIDED), machine_named("2xA100-80GB")
    job = Job(model=DIVIDED, data="", method=method, gpu=machine.name, max_length=1024, global_batch_size=4)  # type: ignore[arg-type]
    rehearsals = Rehearsals(model, machine, print)
    for _, jobs in list(engines(job, machine))[:2]:
        for wished in jobs:
            found = list(candidates(Asked(wished, api.method_of(wished), model, machine), rehearsals, 10**13))
            assert len(found) > 20
            for one in found[::14]:
                whole = rehearsals.whole(one.method, one.knobs, one.engine)
                assert whole is not None
                rank = spread(whole[0], one.engine, one.knobs, whole[1].knobs, machine).recording
                peak = phase_peaks(rank, CUDA_BLOCK_BYTES)["peak"]
                assert one.least_bytes <= peak
                assert one.peak_bytes == pytest.approx(peak, rel=0 if isinstance(one.engine, DDP) else NEARLY)


def test_what_waits_for_the_host_is_asked_last() -> None:
    groups = [name for name, _ in engines(Job(model=SMALL, data=""), machine_named("RTX4090"))]
    assert groups[0] == "on the GPU"
    assert all("host memory" in name for name in groups[1:])


@pytest.mark.parametrize("count", [1, 2])
def test_more_gpus_are_never_slower(count: int) -> None:
    """Of the same global batch."""
    names = ("A100-80GB", "2xA100-80GB", "4xA100-80GB")
    fewer, more = (planned(names[place], model=DIVIDED) for place in (count - 1, count))
    assert fewer.choice is not None
    assert more.choice is not None
    assert fewer.choice.pace is not None
    assert more.choice.pace is not None
    assert more.choice.pace.step_seconds < fewer.choice.pace.step_seconds


def test_dora_is_never_divided_by_stage_3() -> None:
    """Neither on the GPUs nor beside the host; plain LoRA and full fine-tuning are, and FSDP2 takes DoRA too."""
    machine = machine_named("2xRTX4090")

    def stages(**keys: Any) -> set[tuple[Any, bool]]:
        job = Job("", "", gpu=machine.name, **keys)
        return {(one.zero_stage, one.fsdp) for _, jobs in engines(job, machine) for one in jobs}

    assert stages(use_dora=True) == stages() - {(3, False)}
    assert stages(method="full", use_dora=True) == stages(method="full")
    with pytest.raises(BadInput, match="does not go with ZeRO 3"):
        refuse_undivided(LoRA(use_dora=True), Knobs(max_length=64, zero_stage=3))
