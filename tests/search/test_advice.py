"""Advice, over an estimator that is a formula; and beside a real plan."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from finefit import api
from finefit.nouns.advice import Advice, Effect
from finefit.nouns.job import Job
from finefit.nouns.knobs import Knobs
from finefit.search.advice import Basis, advise, best, given_up, pinned, spent_on
from finefit.units import GIB
from finefit.world.gpus import machine_named
from finefit.world.jobs import job_of_options
from finefit.world.models import find_model

LIMIT = 24 * GIB
WEIGHTS = {"full": 16, "lora": 8, "qlora4": 3}


def job(**keys: Any) -> Job:
    knobs = Knobs(2048, keys.pop("micro", 4), 4)
    return pinned(Job("meta-llama/Llama-3.1-8B", "", **keys), keys.get("method", "lora"), knobs)


def basis(gpu: str = "RTX4090", **keys: Any) -> Basis:
    machine = machine_named(gpu)
    made = job(gpu=gpu, global_batch_size=16 * machine.count, **keys)
    return Basis(made, find_model("meta-llama/Llama-3.1-8B"), machine)


def formula(asked: Job) -> Effect:
    """More rows, tokens, rank and kept layers take more; what is recomputed or divided takes longer."""
    layers = 32 if asked.gradient_checkpointing == "none" else 0
    layers = 32 - asked.gradient_checkpointing if isinstance(asked.gradient_checkpointing, int) else layers
    tokens = (asked.per_device_train_batch_size or 1) * (asked.max_length or 0)
    high = WEIGHTS[asked.method] * GIB + tokens * (1 << 18) + layers * GIB // 2 + asked.lora_r * GIB // 64
    divided = (asked.zero_stage or 0) + (asked.offload == "optimizer")
    return Effect(high // (1 + divided), 1000 + 10 * layers - 100 * divided + tokens // 100)


def advice(about: Basis) -> tuple[Advice, ...]:
    return advise(about, formula(about.job), formula, LIMIT)


@pytest.mark.parametrize("gpu", ["RTX4090", "4xRTX4090"])
@pytest.mark.parametrize("method", ["full", "lora", "qlora4"])
def test_advice_goes_its_direction(gpu: str, method: str) -> None:
    """What is given up saves memory; what is spent fits, and is faster or for something else than time."""
    given = advice(basis(gpu, method=method))
    assert {one.direction for one in given} >= {"give up"}
    for one in given:
        if one.direction == "give up":
            assert one.saved_bytes > 0
        else:
            assert one.fits
            assert one.saved_bytes < 0
            assert one.time_lost < 0 or one.touches in ("what is read", "what is learnt")


def test_what_suffices_comes_first_by_time_lost() -> None:
    """Of what makes a recipe fit, the one that costs the least time; then what does not suffice alone."""
    about = basis(micro=8)
    tight = advise(about, formula(about.job), formula, formula(about.job).high_bytes - GIB)
    lost = [one for one in tight if one.direction == "give up"]
    assert [one.fits for one in lost] == sorted((one.fits for one in lost), reverse=True)
    fitting = [one.time_lost for one in lost if one.fits]
    assert len(fitting) > 2
    assert fitting == sorted(fitting)


@pytest.mark.parametrize("gpu", ["RTX4090", "4xRTX4090"])
def test_a_turn_never_changes_the_global_batch(gpu: str) -> None:
    """Micro-batch × accumulation × GPUs stay the same product, and every changed key is one that a job may have."""
    about = basis(gpu)
    for turn in (*given_up(about), *spent_on(about)):
        turned = replace(about.job, **turn.keys)
        micro, steps = turned.per_device_train_batch_size, turned.gradient_accumulation_steps
        assert micro
        assert steps
        assert micro * steps * about.machine.count == about.job.global_batch_size
        words = {key: "null" if value is None else str(value) for key, value in turn.keys.items()}
        lora = {"method": turned.method} if turned.method != "lora" else {}
        # ZeRO and the global batch are judged beside the GPUs they are for
        job_of_options(words | lora | {"gpu": gpu, "global_batch_size": str(about.job.global_batch_size)}, KEYS)


KEYS = tuple(vars(Job("", "")))


def test_an_unknown_effect_is_no_advice() -> None:
    """Where nothing can be told, nothing is said."""
    about = basis()
    assert advise(about, formula(about.job), lambda _: None, LIMIT) == ()


def test_a_plan_advises_in_both_directions() -> None:
    """Computed by asking the estimator again: a lower rank takes less, a higher one more, and none of them builds."""
    wished = Job("meta-llama/Llama-3.2-1B", "", method="lora", gpu="RTX4090", max_length=1024)
    planned = api.plan(wished)
    assert planned.choice is not None
    assert best(planned.advice, "give up")
    assert best(planned.advice, "spend")
    by_what = {one.what: one for one in planned.advice}
    assert by_what["rank 8"].after.high_bytes < by_what["rank 8"].before.high_bytes
    assert by_what["rank 32"].after.high_bytes > by_what["rank 32"].before.high_bytes
    assert by_what["checkpoint every layer"].saved_bytes > 0
