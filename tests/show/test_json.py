"""What programs read."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finefit.nouns.estimate import Estimate
from finefit.nouns.knobs import Knobs
from finefit.nouns.machine import Machine
from finefit.nouns.method import Full
from finefit.nouns.receipt import RangeGap, Receipt
from finefit.show.json import of_estimate, of_receipt, plain, write
from finefit.units import GIB


def written(data: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> Any:
    write(data)
    return json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(name))


def test_an_estimate_has_every_key_of_the_contract(estimate: Estimate, capsys: pytest.CaptureFixture[str]) -> None:
    """Keys are there even where this version has no number for them."""
    data = written(of_estimate(estimate), capsys)
    assert data["model"].keys() == {"id", "parameters", "trainable_parameters"}
    assert data["memory"].keys() == {
        *("allocated_bytes", "reserved_bytes", "device_bytes", "low_bytes", "high_bytes"),
        *("reserved_low_bytes", "reserved_high_bytes", "smallest_bytes", "uncertainty"),
        *("peak_phase", "phases", "moments", "lines"),
    }
    reasons = data["memory"]["uncertainty"]
    assert [reason.keys() for reason in reasons] == [{"what", "below_bytes", "above_bytes", "basis", "why"}] * 2
    assert [line.keys() for line in data["memory"]["lines"]] == [{"what", "bytes", "phase", "why"}] * 2
    assert data["host"].keys() == {"ram_bytes", "disk_bytes", "ram", "disk"}
    assert data["speed"].keys() == {"tokens_per_second", "step_seconds", "low", "high", "shares"}
    assert (data["source"], data["verdict"], data["stack"]["trl"]) == ("rehearsal", "fits", "1.16.0")


def test_three_memories_are_never_mixed(estimate: Estimate) -> None:
    """Allocated is a number; reserved and device are ranges, each with its own ends."""
    memory = of_estimate(estimate)["memory"]
    assert memory["allocated_bytes"] == 10 * GIB
    reserved = [memory[key] for key in ("reserved_low_bytes", "reserved_bytes", "reserved_high_bytes")]
    device = [memory[key] for key in ("low_bytes", "device_bytes", "high_bytes")]
    assert reserved == [11 * GIB, 11 * GIB, 13 * GIB]
    assert device == [11.5 * GIB, 12 * GIB, 15 * GIB]


def test_an_estimate_says_every_knob(estimate: Estimate) -> None:
    """The recipe can be pinned again from what it says of itself."""
    recipe = of_estimate(estimate)["recipe"]
    assert {field.name for field in fields(Knobs)} <= recipe.keys()
    assert {"task", "method", "lora_r", "lora_alpha", "lora_dropout", "lora_target_modules"} <= recipe.keys()
    assert "lora_r" not in of_estimate(replace(estimate, method=Full()))["recipe"]


def test_numbers_that_are_not_computed_are_null_and_said(estimate: Estimate) -> None:
    """Null with a note; never a guess, never zero. On a processor there is no allocator and no verdict."""
    bare = replace(estimate.ledger, reserved=None, device=None, smallest_bytes=None)
    data = of_estimate(replace(estimate, ledger=bare, machine=Machine(None)))
    unknown = ["reserved_bytes", "reserved_low_bytes", "device_bytes", "low_bytes", "high_bytes", "smallest_bytes"]
    assert [data["memory"][key] for key in unknown] == [None] * 6
    assert (data["verdict"], data["memory"]["uncertainty"]) == (None, [])
    timed = ("tokens_per_second", "step_seconds", "low", "high")
    assert {data["speed"][key] for key in timed} | {data["host"][key] for key in ("ram_bytes", "disk_bytes")} == {None}
    assert any("how long" in note for note in data["notes"])


def test_a_receipt_is_json_whatever_was_measured(receipt: Receipt, capsys: pytest.CaptureFixture[str]) -> None:
    """A loss that is not a number and a phase without bytes become null."""
    data = written(of_receipt(receipt), capsys)
    assert data["peak"]["gap_percent"] == pytest.approx(1.0)
    assert data["phases"][1]["gap_percent"] is None
    assert data["train_loss_last"] is None
    assert (data["reserved"], data["device"]) == (None, None)
    gap = RangeGap(1, 2, 3, 4)
    assert of_receipt(replace(receipt, device=gap))["device"] == {**vars(gap), "is_inside": False}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=10,
)


@given(VALUES)
def test_anything_becomes_strict_json(value: Any) -> None:
    """No infinity and no NaN reaches a program."""
    json.dumps(plain(value), allow_nan=False)
