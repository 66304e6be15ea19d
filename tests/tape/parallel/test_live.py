"""Two real processes now, over gloo, against what is composed of one rank alone."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
from ranks_kit.compared import apart
from ranks_kit.runs import Run
from ranks_kit.start import measured
from ranks_kit.stored import composed_of, measured_of

NEEDS_DEEPSPEED = pytest.mark.skipif(find_spec("deepspeed") is None, reason="DeepSpeed is an extra: '.[deepspeed]'")


@pytest.mark.wide(1)
@pytest.mark.parametrize(
    "run",
    [
        Run("ddp", method="lora", batch=1, length=32),
        Run("fsdp2", method="lora", batch=1, length=32),
        pytest.param(Run("zero3", method="lora", length=96), marks=NEEDS_DEEPSPEED),
    ],
    ids=lambda run: run.id,
)
def test_a_run_of_this_moment_is_as_composed(run: Run) -> None:
    """A recipe that was measured nowhere before is trained by two processes, and every rank is as composed."""
    result = measured(run)
    assert "failed" not in result, result["failed"]
    found = measured_of(run, result)
    pairs = zip(found.ranks, composed_of(found), strict=True)
    assert [line for one, two in pairs for line in apart(one, two)] == []
