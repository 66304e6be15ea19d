"""Of a recording: the peaks of a whole run."""

from __future__ import annotations

from dataclasses import replace

from finefit.estimate.ledger import ledger_of
from finefit.estimate.why import Shapes
from finefit.nouns.engine import FSDP2

from ..conftest import Rehearsed

SHAPES = Shapes(1_000, 100, 1, 64, 32, 512, "bfloat16", "adamw_torch_fused")
STEPS = ("forward", "backward", "optimizer", "resident")


def test_the_steps_are_the_phases(rehearsed: Rehearsed) -> None:
    """The fuller of both steps is the fullest phase of a step; the first lacks the optimizer's state at first."""
    ledger = ledger_of(rehearsed("lora", 256), SHAPES, None)
    steps = [ledger.moments[name] for name in ("first step", "steady step")]
    assert max(steps) == max(ledger.phases[phase] for phase in STEPS)
    assert steps == sorted(steps)


def test_saving_gathers_only_what_is_divided(rehearsed: Rehearsed) -> None:
    """One rank alone saves tensor after tensor; beside a divided model the largest parameter is gathered."""
    recording = rehearsed("lora", 256)
    alone, divided = (ledger_of(recording, replace(SHAPES, engine=engine), None) for engine in (None, FSDP2(4)))
    assert alone.moments["saving"] == alone.moments["resuming"] == alone.phases["resident"]
    assert divided.moments["saving"] - alone.moments["saving"] == 32 * 512 * 2
