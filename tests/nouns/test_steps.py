"""The length of a run, known before it starts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from finefit.nouns.steps import optimizer_steps

COUNT = st.integers(1, 40)


def arguments(micro_batch: int, accumulation: int, epochs: float = 1.0, max_steps: int = -1) -> dict[str, float]:
    return {
        "per_device_train_batch_size": micro_batch,
        "gradient_accumulation_steps": accumulation,
        "num_train_epochs": epochs,
        "max_steps": max_steps,
    }


@given(COUNT, COUNT, COUNT, st.integers(1, 5))
def test_a_batch_that_is_not_full_is_a_step_too(rows: int, micro_batch: int, accumulation: int, epochs: int) -> None:
    """Every epoch goes through all rows, and no batch spans two epochs."""
    batches = [range(rows)[start : start + micro_batch] for start in range(0, rows, micro_batch)]
    steps = [batches[start : start + accumulation] for start in range(0, len(batches), accumulation)]
    assert optimizer_steps(arguments(micro_batch, accumulation, epochs), rows) == epochs * len(steps)


def test_a_part_of_an_epoch_is_rounded_up() -> None:
    """Half of five steps are three."""
    assert optimizer_steps(arguments(1, 1, epochs=0.5), 5) == 3


@given(COUNT, COUNT)
def test_a_pinned_number_of_steps_is_taken(rows: int, steps: int) -> None:
    """However many epochs that is."""
    assert optimizer_steps(arguments(2, 2, epochs=7.0, max_steps=steps), rows) == steps
