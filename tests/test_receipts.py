"""finefit's estimates against every stored receipt.

Receipts of GPUs lie in tests/receipts, those of processors in tests/receipts/cpu; `validation/README.md` says how they
are made. Predictions are stored beside the measurements, and a sample of them is computed again.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import pytest
from kit import predictions
from kit.collect import prediction_for
from kit.compare import ALLOCATED_PERCENT, EXCEPTIONS, RESERVED_PERCENT, gaps, told_to_fit, unpredicted
from kit.design import all_points
from kit.points import Point
from kit.predict import predicted
from kit.receipts import Receipt, stored

from finefit.world.gpus import machine_named

SAMPLE = 5
CHEAP = ("qwen2.5-0.5b", "llama-3.2-1b", "tinyllama-1.1b")
"""Models whose rehearsal takes a few seconds."""

ON_GPUS, ON_PROCESSORS = stored("cuda"), stored("cpu")
PREDICTED = predictions.read()


def is_of_this_stack(receipt: Receipt) -> bool:
    return all(version(name) == receipt["stack"][name] for name in ("torch", "transformers", "trl", "peft"))


def some(of: Sequence[Any], count: int = SAMPLE) -> list[Any]:
    """The same ones in every run."""
    return random.Random(0).sample(list(of), min(count, len(of)))


def test_every_gpu_receipt_is_within_the_promise() -> None:
    """Allocated memory within 1 %, reserved within 3 % or its range, but for exceptions that have a named cause."""
    broken = {gap.id for gap in gaps(ON_GPUS) if not gap.is_kept}
    assert broken == EXCEPTIONS.keys()


def test_what_ran_out_of_memory_was_not_told_to_fit() -> None:
    """Where the card's memory ran out, the prediction came close to the card's size or beyond it."""
    assert told_to_fit(ON_GPUS) == []


@pytest.mark.parametrize("receipt", some(ON_GPUS), ids=lambda receipt: receipt["id"])
def test_stored_gpu_predictions_are_still_what_is_said(receipt: Receipt) -> None:
    """A prediction that is stored beside a measurement is the one that finefit makes today."""
    assert_alike(prediction_for(receipt), receipt["predicted"], 0.1)


def test_every_processor_receipt_is_predicted_to_the_byte() -> None:
    """With the versions it was measured with; with others, to a part in ten thousand."""
    assert len(ON_PROCESSORS) >= 12
    for receipt in ON_PROCESSORS:
        measured, said = receipt["measured"]["phases"], receipt["predicted"]["phases"]
        if receipt["stack"]["transformers"] == receipt["predicted"]["stack"]["transformers"]:
            assert said == measured, receipt["id"]
        assert said == pytest.approx(measured, rel=1e-4), receipt["id"]


@pytest.mark.parametrize(
    "receipt", some([one for one in ON_PROCESSORS if is_of_this_stack(one)]), ids=lambda receipt: receipt["id"]
)
def test_the_rehearsal_of_today_still_equals_the_measurement(receipt: Receipt) -> None:
    """A small point rehearsed now has the very bytes that its real step had, in every phase."""
    assert prediction_for(receipt)["phases"] == receipt["measured"]["phases"]


def test_every_receipt_has_its_prediction() -> None:
    """No point was measured that finefit can say nothing of."""
    assert unpredicted([*ON_GPUS, *ON_PROCESSORS]) == []


def test_what_was_predicted_before_is_of_the_grid() -> None:
    """predicted.json holds points of the grid and none other."""
    assert PREDICTED.keys() <= {point.id for point in all_points()}


@pytest.mark.parametrize(
    "point",
    some([point for point in all_points() if point.id in PREDICTED and point.model in CHEAP], 2),
    ids=lambda point: point.id,
)
def test_predictions_made_before_are_what_is_said_today(point: Point) -> None:
    """As exactly as is promised. Where a rule changed for good: python validation/grid.py predict --fresh."""
    assert_alike(predicted(point, machine_named(predictions.REFERENCE_GPU)), PREDICTED[point.id], 1)


def assert_alike(now: dict[str, Any], before: dict[str, Any], share: float) -> None:
    """`share`: of the promise."""
    for key, percent in (("allocated_bytes", ALLOCATED_PERCENT), ("reserved_bytes", RESERVED_PERCENT)):
        assert now[key] == pytest.approx(before[key], rel=share * percent / 100), key
