"""Every stored run of real ranks (validation/ranks.json) against what is composed of a rehearsal of one rank alone."""

from __future__ import annotations

import pytest
from ranks_kit.compared import apart
from ranks_kit.exceptions import EXCEPTIONS
from ranks_kit.grid import ENGINES, all_runs
from ranks_kit.runs import engine_of
from ranks_kit.stored import Measured, composed_before, composed_of, read, refused, stored

from finefit.catalog.libraries import installed
from finefit.nouns.engine import DeepSpeed

RUNS = {one.run.id: one for one in stored()}
BEFORE = composed_before()
REFUSED = {
    "fsdp2 2 qlora8": "AttributeError: 'Parameter' object has no attribute 'CB'",
    "fsdp2 2 full batch=1 length=16 optim=adamw_8bit": (
        "NotImplementedError: Operator bitsandbytes.optimizer_update_32bit.default does not have a sharding strategy"
    ),
}
"""And the beginning of the libraries' own words."""


@pytest.mark.wide(66)
@pytest.mark.parametrize("name", RUNS)
def test_composed_is_measured(name: str) -> None:
    """On every rank each phase begins, peaks and ends within half a percent of what was measured, and what is held
    after two steps is within one percent, kind by kind; runs that are not say why."""
    run = RUNS[name]
    ranks = composed_of(run)
    found = [line for one, two in zip(run.ranks, ranks, strict=True) for line in apart(one, two)]
    expected = EXCEPTIONS.get(name)
    assert bool(found) == (expected is not None), "\n".join(found)
    assert all(expected is not None and expected.where in line for line in found), "\n".join(found)
    assert [rank.phases.keys() for rank in run.ranks] == [rank.phases.keys() for rank in ranks]
    if is_as_measured(run):
        assert list(BEFORE[name]) == ranks, "say `python validation/ranks.py --compose`"


def is_as_measured(run: Measured) -> bool:
    """Whether the libraries that rehearse are those of the page."""
    stack = read()[run.run.id]["stack"]
    names = [name for name in stack if name != "deepspeed"]
    return installed(names) == {name: stack[name] for name in names}


def test_every_run_was_measured() -> None:
    """No run of the grid is left out: each ran, or was refused by the libraries in these words."""
    assert RUNS.keys() | refused().keys() == {run.id for run in all_runs()}
    assert refused().keys() == REFUSED.keys()
    assert all(refused()[name].startswith(words) for name, words in REFUSED.items())
    assert EXCEPTIONS.keys() <= RUNS.keys()
    assert {run.run.engine for run in RUNS.values()} == {*ENGINES, "fsdp1"}


@pytest.mark.parametrize("name", [name for name, run in RUNS.items() if run.run.stage])
def test_buckets_are_those_that_deepspeed_reads(name: str) -> None:
    """What `auto` stands for is what DeepSpeed itself found in its configuration, in the stages that use it."""
    run = RUNS[name]
    engine = engine_of(run.run)
    assert isinstance(engine, DeepSpeed)
    assert run.buckets is not None
    ours, theirs = vars(engine.buckets), vars(run.buckets)
    used = {size for size in ours if run.run.stage == 3 or not size.startswith("stage3_")}
    assert {size: ours[size] for size in used} == {size: theirs[size] for size in used}
