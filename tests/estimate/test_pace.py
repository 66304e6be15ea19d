"""How long a step takes, as laws that any GPU obeys."""

from __future__ import annotations

from dataclasses import replace

import pytest

from finefit.catalog.gpus import rows
from finefit.catalog.rates import Rates, rates_of
from finefit.estimate.pace.links import Sizes, exposed, sent
from finefit.estimate.pace.pace import Effort, effort_of, pace_of, step_seconds, work_of, work_on
from finefit.estimate.pace.setup import Setup
from finefit.nouns.engine import DDP, FSDP2, Buckets, DeepSpeed, Engine, ZeroStage
from finefit.nouns.knobs import Knobs
from finefit.nouns.method import LoRA
from finefit.nouns.model import Model
from finefit.nouns.pace import Pace
from finefit.tape.digest import Read

from ..conftest import CONFIG, Rehearsed

A100 = rates_of("A100 SXM4 80GB")
KNOBS = Knobs(max_length=256)
SIZES = Sizes(weights=16e9, gradients=80e6, states=320e6, layers=32)


def paced(rehearsed: Rehearsed, rates: Rates, knobs: Knobs = KNOBS) -> Pace:
    setup = Setup(Model("small", CONFIG), LoRA(), knobs, rates)
    return pace_of(work_of(rehearsed("lora", 256), setup, CONFIG["num_hidden_layers"]), setup)


@pytest.mark.parametrize("what", ["memory", "half"])
def test_a_faster_card_is_never_slower(rehearsed: Rehearsed, what: str) -> None:
    """Nor is one on which Python alone decides."""
    times = [
        paced(rehearsed, replace(A100, **{what: getattr(A100, what) * factor})).step_seconds
        for factor in (0.001, 0.01, 0.1, 1, 10)
    ]
    assert times == sorted(times, reverse=True)
    assert times[0] > times[1]


def test_a_step_is_its_shares_and_lies_in_its_interval(rehearsed: Rehearsed) -> None:
    pace = paced(rehearsed, A100)
    assert pace.low < pace.step_seconds < pace.high
    assert pace.slowest < pace.tokens_per_second < pace.fastest
    assert pace.tokens_per_second * pace.step_seconds == pytest.approx(256)


@pytest.mark.parametrize("engine", [None, DDP(4), FSDP2(4)])
@pytest.mark.parametrize("accumulated", [1, 3])
def test_seconds_without_words_are_the_same(rehearsed: Rehearsed, engine: Engine | None, accumulated: int) -> None:
    """As the shares of the step together."""
    setup = Setup(Model("small", CONFIG), LoRA(), replace(KNOBS, gradient_accumulation_steps=accumulated), A100)
    work = work_of(rehearsed("lora", 256), setup, CONFIG["num_hidden_layers"])
    assert step_seconds(work, setup, engine) == pytest.approx(pace_of(work, setup, engine).step_seconds, rel=1e-12)


def test_more_micro_batches_cost_kernels_once_each_and_the_optimizer_once(rehearsed: Rehearsed) -> None:
    """Tokens per second never fall with accumulation."""
    once, often = (paced(rehearsed, A100, replace(KNOBS, gradient_accumulation_steps=count)) for count in (1, 8))
    assert often.tokens == 8 * once.tokens
    assert 8 * once.step_seconds > often.step_seconds > 7 * once.step_seconds / 2
    assert often.tokens_per_second > once.tokens_per_second


SIDES = ((512, 512), (512, 256), (512, 256), (512, 512), (512, 1024), (512, 1024), (1024, 512))
"""Of a layer's linear modules: input, output."""


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_dora_multiplies_what_its_formulas_say(rehearsed: Rehearsed, dropout: float) -> None:
    """Beside LoRA: each time that a layer runs, the adapter's matrices times a unit matrix; the last product of a layer
    recomputed, where LoRA's stops before; with dropout every product of the layer again, and once more backward. And a
    step takes longer."""
    layers, rank, tokens, runs = CONFIG["num_hidden_layers"], 16, 256, 2  # all layers are recomputed

    def effort(name: str, use_dora: bool) -> Effort:
        setup = Setup(Model("small", CONFIG), LoRA(dropout=dropout, use_dora=use_dora), KNOBS, A100)
        return effort_of(Read(rehearsed(name + (", dropout" if dropout else ""), 256)), setup, layers)

    unit = sum(2 * into * rank * (into + out) for into, out in SIDES)
    again = sum(2 * tokens * into * out for into, out in SIDES) if dropout else 0
    last = 2 * tokens * rank * SIDES[-1][1]
    plain, dora = effort("lora", False), effort("dora", True)
    more = dora.first.operations - plain.first.operations
    assert more == pytest.approx(layers * (runs * unit + last + (runs + 1) * again), rel=1e-9)
    setups = [Setup(Model("small", CONFIG), LoRA(use_dora=use_dora), KNOBS, A100) for use_dora in (False, True)]
    times = [step_seconds(work_on(one, setup), setup, None) for one, setup in zip((plain, dora), setups, strict=True)]
    assert times[0] < times[1]


def zero(stage: ZeroStage, ranks: int = 8) -> Engine:
    return DeepSpeed(ranks, stage, "none", Buckets(5 * 10**8, 10**7, 10**5))


def volume(engine: Engine, micro_batches: int = 4) -> float:
    found = sent(engine, SIZES, micro_batches)
    return found.hidden_forward * micro_batches + found.hidden_last + found.after


def test_dividing_more_sends_more() -> None:
    """A rank of ZeRO 3 gathers weights, frozen ones too; with more GPUs each sends a larger part."""
    assert volume(zero(0)) == volume(zero(1)) <= volume(zero(2)) < volume(zero(3))
    assert volume(DDP(2)) < volume(DDP(8)) < 2 * SIZES.gradients
    assert volume(FSDP2(8)) == volume(zero(3))


@pytest.mark.parametrize("engine", [None, DDP(1), zero(2, 1), zero(3, 1), FSDP2(1)])
def test_one_gpu_waits_for_no_other(engine: Engine | None) -> None:
    assert exposed(sent(engine, SIZES, 4), A100, 1.0, 4) == 0


def test_what_is_hidden_costs_nothing_and_a_slow_link_costs() -> None:
    """Adapters' gradients vanish behind the kernels; a base of 16 GB does not on PCIe."""
    assert exposed(replace(sent(DDP(8), SIZES, 1), calls=0), A100, 1.0, 1) == 0
    slow = replace(A100, peer=5e9)
    assert exposed(sent(zero(3), SIZES, 1), slow, 1.0, 1) > 5


def test_every_card_has_rates() -> None:
    """Half precision is never slower than float32, and a measured rate is near its data sheet's."""
    for row in rows():
        if row.gpu is not None:
            rates = rates_of(row.name)
            assert rates.memory > 1e11
            assert rates.half >= rates.float32
            assert rates.peer > 1e10
            assert rates.half_basis in ("measured", "derived", "guessed")
