"""Preferences on two real processes of this processor, over gloo."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from pair_rows import told, written
from ranked import ENGINES, of, on_ranks

from finefit.worker.stop import EXIT_STOPPED

pytestmark = pytest.mark.xdist_group("ranks")

ROWS, HELD_OUT = 13, 5
"""Neither divides by what two ranks have in a micro-batch of two pairs: the last one has blank pairs."""
APART = 2e-4
"""Of losses near 0.7: sums in another order."""

FULL = {"peft": None, "adapter_dtype": None}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "ddp, adapters off": ("ddp", {"reference": "adapter_off"}),
    "ddp, precomputed": ("ddp", {"reference": "precomputed"}),
    "zero 2, adapters off": ("zero 2", {"reference": "adapter_off"}),
    "zero 2, full, beside a copy": ("zero 2", {"reference": "model", **FULL}),
    "zero 1, full, precomputed": ("zero 1", {"reference": "precomputed", **FULL}),
    "zero 3, adapters off": ("zero 3", {"reference": "adapter_off"}),
    "zero 3, full, beside a copy": ("zero 3", {"reference": "model", **FULL}),
    "zero 3, all offloaded, beside a copy": ("zero 3, all offloaded", {"reference": "model"}),
}


def cases(*names: str) -> list[Any]:
    return [pytest.param(name, marks=of(CASES[name][0])[0].marks) for name in names]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("pairs")
    return {"train": str(written(folder / "train.jsonl", ROWS)), "eval": str(written(folder / "eval.jsonl", HELD_OUT))}


Made = Callable[[str, bool], Any]


@pytest.fixture(scope="module")
def made(new_run: Callable[..., Any], orders: Callable[..., Any], pairs: dict[str, str]) -> Made:
    """Of a case, on ranks or by one process; not yet begun."""

    def make(name: str, is_alone: bool) -> Any:
        engine, changes = CASES[name]
        one = orders(**told(pairs, gradient_accumulation_steps=2, **changes))
        return new_run(**(one if is_alone else on_ranks(one, ENGINES[engine])))

    return make


@pytest.fixture(scope="module")
def finished(made: Made) -> Made:
    @cache
    def run(name: str, is_alone: bool) -> Any:
        one = made(name, is_alone)
        assert one.finish() == 0, one.log.read_text()[-3000:]
        return one

    return run


@pytest.mark.wide(2)
@pytest.mark.parametrize("name", cases(*CASES))
def test_ranks_prefer_as_one_process_does(name: str, finished: Made) -> None:
    """Loss, learning rate, tokens and rewards of every step, and what held-out pairs say, are those of one process,
    also in a step of which one rank has blank pairs alone."""
    run, alone = finished(name, False), finished(name, True)
    ours, theirs = run.curve(), alone.curve()
    assert ours.keys() == theirs.keys()
    assert len(ours) == 3 * -(-ROWS // 4)
    for step in theirs:
        assert ours[step][0] == pytest.approx(theirs[step][0], abs=APART)
        assert ours[step][2:] == theirs[step][2:]
    for mine, its in zip(run.events("step"), alone.events("step"), strict=True):
        assert mine["rewards"] == pytest.approx(its["rewards"], abs=10 * APART)
    for mine, its in zip(run.events("eval"), alone.events("eval"), strict=True):
        assert (mine["when"], mine["pairs"]) == (its["when"], HELD_OUT)
        assert mine["loss"] == pytest.approx(its["loss"], abs=APART)
        assert mine["rewards"] == pytest.approx(its["rewards"], abs=10 * APART)
    [reloaded] = run.events("reloaded")
    assert reloaded["agrees"]


@pytest.mark.wide(1)
@pytest.mark.parametrize("name", cases("zero 1, full, precomputed", "zero 3, adapters off"))
def test_stopped_together_and_resumed(name: str, made: Made, finished: Made) -> None:
    """Preferences go on to the last bit; what a precomputed reference said is asked once."""
    run = made(name, False)
    assert run.kill_when(lambda: run.at_step(4), signal.SIGTERM) == EXIT_STOPPED
    assert run.finish(resume=True) == 0
    assert run.curve() == finished(name, False).curve()
    asked = [event for event in run.events("note") if "the reference is asked" in event["text"]]
    assert len(asked) == 2 * ("precomputed" in name)  # those trained on, and those held out
