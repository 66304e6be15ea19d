"""The tape against rehearsals at points that it has not seen."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from recipes import TWICE, merged, orders, rehearsed
from test_preferences import ADAPTER_OFF, MODEL

from finefit.nouns.recording import Recording
from finefit.tape.expand import storages_and_events
from finefit.tape.micro_batches import with_micro_batches
from finefit.tape.peaks import CUDA_BLOCK_BYTES, phase_peaks
from finefit.tape.points import Free, first_points, further_points
from finefit.tape.sizes import Point
from finefit.tape.tape import Bounds, Take, Tape
from finefit.tape.written import decode, encode

pytestmark = pytest.mark.wide(3)

FEW = 512
"""Tokens: up to so many, packed weights may be multiplied by without being unpacked."""
NF4 = {"quantization": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": "bfloat16"}}
FLAT: dict[str, Any] = {
    "trainer": {"bf16": True, "padding_free": True},
    "rehearsal": {"documents": 2},
}
"""Rows that share a sequence: a micro-batch is one of several documents."""
RECIPES: dict[str, dict[str, Any]] = {
    "lora": orders(device="cuda", gradient_checkpointing="all", trainer={"bf16": True}, model={"dtype": "bfloat16"}),
    "full, eager, whole logits": orders(device="cuda", peft=None, loss="full", model={"attn_implementation": "eager"}),
    "4 bits": orders(device="cuda", gradient_checkpointing="all", model=merged({"dtype": "bfloat16"}, NF4)),
    "packed, lora": orders(device="cuda", gradient_checkpointing="all", **FLAT, model={"dtype": "bfloat16"}),
    "preferences, adapters off": orders(
        device="cuda",
        task=ADAPTER_OFF,
        trainer={"bf16": True},
        model=merged({"dtype": "bfloat16", "prepare": False}, NF4),
    ),
    "preferences, beside a model": orders(
        device="cuda",
        task=MODEL,
        gradient_checkpointing="all",
        peft=None,
        model={"dtype": "bfloat16"},
    ),
    "dora": orders(device="cuda", peft={"use_dora": True}, gradient_checkpointing="all", trainer={"bf16": True}),
}


def recorded(name: str, point: Point, layers: int) -> Recording:
    order = RECIPES[name]
    peft = order["peft"]
    changes = {
        "trainer": {"per_device_train_batch_size": point.batch},
        "rehearsal": {"length": point.length},
        "peft": peft and {"r": point.rank},
    }
    checkpointed = layers if order["gradient_checkpointing"] == "all" else 0
    return rehearsed(merged(order, changes), [layers, checkpointed])


def bounds(name: str) -> Bounds:
    """As a recipe has them."""
    order = RECIPES[name]
    few = (FEW,) if order["model"]["quantization"] else ()
    return Bounds((), (*few, 3072) if order["peft"] is None else few, (160,) if order["peft"] else ())


def letters(name: str, layers: int) -> str:
    return layers * ("A" if RECIPES[name]["gradient_checkpointing"] == "all" else "a")


def sequences(name: str) -> int:
    return 2 if "task" in RECIPES[name] else 1


def is_flat(name: str) -> bool:
    return "documents" in RECIPES[name]["rehearsal"]


@cache
def tape(name: str) -> Tape:
    """As `finefit.rehearsal.build` makes it, in this process."""
    made = Tape((), bounds(name), {})
    free = Free(None if RECIPES[name]["peft"] else 0, sequences(name), is_flat=is_flat(name))
    points = first_points(made.bounds, free)
    while points:
        for point in points:
            few = recorded(name, point, 5)
            grown = made.with_take(Take(point, (letters(name, 5),), few))
            if grown == made:
                more = (recorded(name, point, 6),)
                grown = made.with_take(Take(point, (letters(name, 5), letters(name, 6)), few, more))
            made = grown
        points = further_points(made, free)
    return made


def together(name: str) -> pytest.MarkDecorator:
    """Tests that read a tape run where it was made."""
    return pytest.mark.xdist_group(f"tape of {name}")


@pytest.mark.wide(1)
@pytest.mark.parametrize("name", [pytest.param(name, marks=together(name)) for name in RECIPES])
def test_replay_is_the_rehearsal_at_unseen_points(name: str, pytestconfig: pytest.Config) -> None:
    """At random micro-batches, lengths, ranks and numbers of layers: every storage to the byte."""
    seeded = random.Random(name)
    for _ in range(4 if pytestconfig.getoption("--thorough") else 2):
        rank = seeded.choice([4, 16, 64]) if RECIPES[name]["peft"] else 0
        length = seeded.randint(600, 2500)
        rows = seeded.randint(1, 10_000 // length)
        point = Point(max(1, rows // sequences(name)), length, rank, sequences=sequences(name))
        point = Point(1, point.tokens, rank, documents=2) if is_flat(name) else point
        layers = seeded.choice([4, 7, 9])
        replayed, direct = tape(name).at(point, letters(name, layers)), recorded(name, point, layers)
        assert replayed is not None, point
        assert storages_and_events(replayed) == storages_and_events(direct)
        assert phase_peaks(replayed, CUDA_BLOCK_BYTES) == phase_peaks(direct, CUDA_BLOCK_BYTES)
        assert (replayed.parameters, replayed.trainable_parameters) == (direct.parameters, direct.trainable_parameters)


@together("4 bits")
@pytest.mark.wide(0)
def test_chunks_beyond_the_third_change_next_to_nothing() -> None:
    """Five chunks of tokens are answered by the history of three: the peak is within 0.1 %."""
    point = Point(9, 2048, 8)
    replayed = tape("4 bits").at(point, "AAAAA")
    assert replayed is not None
    direct = phase_peaks(recorded("4 bits", point, 5), CUDA_BLOCK_BYTES)
    assert phase_peaks(replayed, CUDA_BLOCK_BYTES)["peak"] == pytest.approx(direct["peak"], rel=0.001)


@together("4 bits")
@pytest.mark.wide(0)
def test_few_tokens_beside_packed_weights_are_told_by_a_history_of_their_own() -> None:
    """Their products unpack nothing."""
    point = Point(2, 171, 32)
    replayed, direct = tape("4 bits").at(point, "A" * 7), recorded("4 bits", point, 7)
    assert replayed is not None
    assert storages_and_events(replayed) == storages_and_events(direct)


@together("4 bits")
@pytest.mark.wide(0)
def test_under_a_condition_never_met_nothing_is_answered() -> None:
    """Few tokens may take another 4-bit kernel: without a point of so few, they are unknown."""
    made = tape("4 bits")
    many = [one for one in made.histories if all(point.tokens > FEW for point in one.points)]
    assert len(many) < len(made.histories)
    assert replace(made, histories=tuple(many)).at(Point(1, 300, 8), "AAAAA") is None


@pytest.mark.wide(1)
@pytest.mark.parametrize("name", [pytest.param(name, marks=together(name)) for name in ("lora", "4 bits")])
def test_a_tape_is_read_as_it_was_written(name: str) -> None:
    assert decode(encode(tape(name))) == tape(name)


@together("lora")
def test_torn_bytes_are_no_tape() -> None:
    with pytest.raises(ValueError, match="torn"):
        decode(encode(tape("lora"))[:-40])


@pytest.mark.wide(1)
@pytest.mark.parametrize("name", RECIPES)
def test_one_micro_batch_is_cut_from_two(name: str) -> None:
    """A recording of two as one of one: the peaks of a direct one but for single numbers."""
    two = rehearsed(merged(RECIPES[name], TWICE), [5, 0])
    one = phase_peaks(rehearsed(RECIPES[name], [5, 0]))
    cut = phase_peaks(with_micro_batches(two, 1))
    assert all(abs(cut[phase] - nbytes) <= 512 for phase, nbytes in one.items())


def test_further_micro_batches_wait_on_the_gpu() -> None:
    """Eight micro-batches take as much as two, and the ids, labels and masks of six."""
    two = rehearsed(merged(RECIPES["lora"], TWICE), [5, 5])
    batches = [nbytes for kind, nbytes in zip(two.kinds, two.nbytes, strict=True) if two.kind_names[kind][0] == "batch"]
    one_batch = sum(batches) // 4  # two steps of two
    eight = with_micro_batches(two, 8)
    assert phase_peaks(eight)["backward"] == phase_peaks(two)["backward"] + 6 * one_batch
