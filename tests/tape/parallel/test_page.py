"""docs/zero.md: what each rank holds, by its formulas, and the numbers of the two puzzles."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from ranks_kit.composed import compose, rehearsed
from ranks_kit.phases import held_of
from ranks_kit.runs import SHAPES, Run, engine_of
from ranks_kit.stored import stored

from finefit.catalog.models import model_named
from finefit.nouns.engine import DeepSpeed
from finefit.tape.parallel.flat import Flat
from finefit.tape.parallel.parameters import adapter_rows, groups_of, parameters_of
from finefit.units import GIB, MIB

PAGE = (Path(__file__).parents[3] / "docs" / "zero.md").read_text(encoding="utf-8")
W, STATES = 2, 12
RANKS = 4


def config() -> tuple[int, int, int, int]:
    """Of Llama-2-7B, as it is bundled."""
    model = model_named("meta-llama/Llama-2-7b-hf")
    assert model is not None
    names = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers")
    vocabulary, hidden, inner, layers = (model.config[name] for name in names)
    return vocabulary, hidden, inner, layers


def parameters() -> int:
    vocabulary, hidden, inner, layers = config()
    return 2 * vocabulary * hidden + layers * (4 * hidden**2 + 3 * hidden * inner + 2 * hidden) + hidden


def adapters(rank: int) -> int:
    _, hidden, inner, layers = config()
    return layers * rank * (4 * (hidden + hidden) + 3 * (hidden + inner))


def zero2(total: int, ranks: int) -> int:
    """DeepSpeed's estimate_zero2_model_states_mem_needs, without offload."""
    return 2 * total + 18 * total // ranks


def zero3(total: int, largest: int, ranks: int, bytes_each: int) -> int:
    """Its estimate_zero3_model_states_mem_needs; bytes of each parameter that stays on the GPU: 18, 2 or 0."""
    return 4 * largest + bytes_each * total // ranks


def gib(nbytes: float) -> str:
    return f"{nbytes / GIB:.2f} GiB"


def test_the_first_puzzle_is_computed() -> None:
    """The embedding alone makes 0.49 GiB, and the other two answers follow from all parameters."""
    vocabulary, hidden, *_ = config()
    total, largest = parameters(), vocabulary * hidden
    assert f"{vocabulary:,} × {hidden:,} = {largest:,}, so {4 * largest / GIB:.3f} GiB" in " ".join(PAGE.split())
    assert f"{zero3(total, largest, RANKS, 2) / GIB:.2f} and\n{gib(zero3(total, largest, RANKS, 18))}" in PAGE
    assert f"for {total:,} parameters on {RANKS} GPUs" in PAGE
    weights, bucket = int(6805e6 * 2 / MIB), round(5e8 * 2 / MIB)
    assert f"{weights:,} MiB" in PAGE
    assert f"({bucket} MiB), with {14678 - weights - bucket} MiB left" in PAGE


def test_the_second_puzzle_is_computed() -> None:
    """The estimator counts what is frozen; what is held follows from what is trained."""
    vocabulary, hidden, *_ = config()
    trained = adapters(16)
    total, largest = parameters() + trained, vocabulary * hidden
    assert f"{trained:,} of {total:,}" in " ".join(PAGE.split())
    assert f"| {gib(zero2(total, RANKS))} | {gib(W * total + STATES * trained / RANKS)} |" in PAGE
    held = (W * total + (STATES + W) * trained) / RANKS
    assert f"| {gib(zero3(total, largest, RANKS, 18))} | {gib(held)} |" in PAGE


def test_the_second_puzzle_is_measured() -> None:
    """Beside what the estimator says of the tiny model stands what its ranks were measured to hold."""
    tiny = SHAPES["plain"]
    measured = {one.run.id: one for one in stored()}
    trained = sum(one.elements for one in parameters_of(rehearsed(Run("zero2", method="lora")), W) if one.is_trained)
    total = sum(one.elements for one in parameters_of(rehearsed(Run("zero2", method="lora")), W))
    assert trained < total / 10
    said = {"zero2": zero2(total, 2), "zero3": zero3(total, tiny["vocab_size"] * tiny["hidden_size"], 2, 18)}
    for name, predicted in said.items():
        held = sum(measured[f"{name} 2 lora"].ranks[0].held.values())
        assert f"predicted {predicted:,}" in " ".join(PAGE.split()).replace("bytes, ", "")
        assert f"held {held:,}" in PAGE


@pytest.mark.skipif(find_spec("deepspeed") is None, reason="DeepSpeed is an extra: '.[deepspeed]'")
def test_the_estimator_is_deepspeeds() -> None:
    """The two formulas here give what DeepSpeed's functions give."""
    from deepspeed.runtime.zero.stage3 import estimate_zero3_model_states_mem_needs as ds3
    from deepspeed.runtime.zero.stage_1_and_2 import estimate_zero2_model_states_mem_needs as ds2

    total, largest = parameters(), 32_000 * 4_096
    assert ds2(total, RANKS, 1, False)[1] == zero2(total, RANKS)
    for bytes_each, offloads in ((18, (False, False)), (2, (True, False)), (0, (True, True))):
        assert ds3(total, largest, RANKS, 1, *offloads)[1] == zero3(total, largest, RANKS, bytes_each)


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
def test_each_engine_holds_what_the_table_says(method: str, ranks: int) -> None:
    """Between two steps: weights, gradients and states of every row, divided by groups, by parameters, or by rows."""
    run = Run("zero1", ranks=ranks, method=method)  # type: ignore[arg-type]
    recording = rehearsed(run)
    all_of = parameters_of(recording, W)
    trained = [one for one in all_of if one.is_trained]
    frozen = sum(one.elements for one in all_of if not one.is_trained)
    flats = [Flat(group, ranks) for group in groups_of(all_of)]
    flat, part = sum(each.elements for each in flats), sum(each.part for each in flats)
    parts = sum(-(-one.elements // ranks) for one in all_of)
    own = sum(-(-one.elements // ranks) for one in trained)
    weights, whole = W * sum(one.elements for one in all_of), sum(one.elements for one in trained)
    said = {
        "zero0": (weights, 0, STATES * whole),
        "zero1": (W * (frozen + flat), 0, STATES * part),
        "zero2": (W * (frozen + flat), 0, STATES * part),
        "zero3": (W * parts, W * own, STATES * own),
    }
    for name, (of_weights, of_gradients, of_states) in said.items():
        held = held_of(compose(Run(name, ranks=ranks, method=method), recording, None, 0).recording)  # type: ignore[arg-type]
        assert (held["parameters"], held["gradients"], held["states"]) == (of_weights, of_gradients, of_states), name
    sharded = held_of(compose(Run("fsdp2", ranks=ranks, method=method), recording, None).recording)  # type: ignore[arg-type]
    rows = adapter_rows(all_of)
    shards = [one.elements // rows.get(one.storage, one.elements) for one in trained]
    own = sum(-(-one.elements // row // ranks) * row for one, row in zip(trained, shards, strict=True))
    assert sharded["states"] == STATES * own
    assert sharded["parameters"] == W * (parts - sum(-(-one.elements // ranks) for one in trained))
    bucket = engine_of(Run("zero3", ranks=ranks))
    assert isinstance(bucket, DeepSpeed)
    rest = held_of(compose(Run("zero3", ranks=ranks, method=method), recording, None).recording)["rest"]  # type: ignore[arg-type]
    assert rest >= W * bucket.buckets.reduce_bucket_size
