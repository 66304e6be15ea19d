"""Two real processes of this processor, over gloo: what a run on several ranks computes, holds and leaves behind."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from ranked import ENGINES, RANKS, Orders, each_once, knobs_of, of, on_ranks
from safetensors.torch import load_file

from finefit.estimate.held import held_by
from finefit.lower.orders import base_orders, rehearsal_orders
from finefit.nouns.engine import Engine
from finefit.nouns.loop import Loop
from finefit.nouns.machine import Machine
from finefit.nouns.method import LoRA
from finefit.nouns.model import Model
from finefit.nouns.recording import Recording
from finefit.tape.parallel.compose import on_one_rank
from finefit.worker.stop import EXIT_STOPPED

pytestmark = pytest.mark.xdist_group("ranks")

FLOAT = 4
LAST = 12
APART = 1e-5
"""Of losses near 4.5: sums in another order, over twelve steps at a learning rate of 0.01. Measured: 1e-6."""
HELD = 64
"""Bytes: the scalars of engines."""

NewRun = Callable[..., Any]


@pytest.fixture(scope="module")
def told(orders: Callable[..., Orders]) -> Callable[..., Orders]:
    """Orders without dropout, whose random numbers are each rank's own."""

    def make(engine: Engine | None, **changes: Any) -> Orders:
        made = orders(**changes)
        if made["peft"] is not None:
            made["peft"] |= {"lora_dropout": 0.0}
        return made if engine is None else on_ranks(made, engine)

    return make


@pytest.fixture(scope="module")
def finished(new_run: NewRun, told: Callable[..., Orders]) -> Callable[..., Any]:
    return each_once(new_run, told)


def apart(one: Any, other: Any) -> float:
    """The largest difference of two runs' losses; whatever else is counted must be the same."""
    pairs = [(one.curve()[step], other.curve()[step]) for step in range(1, LAST + 1)]
    assert [(ours[2], ours[3]) for ours, _ in pairs] == [(theirs[2], theirs[3]) for _, theirs in pairs]
    return max(abs(ours[0] - theirs[0]) for ours, theirs in pairs)


@pytest.mark.wide(2)
@pytest.mark.parametrize("name", of(*ENGINES))
def test_ranks_train_as_one_process_does(name: str, finished: Callable[..., Any]) -> None:
    """Two ranks with half of the accumulation have the loss, learning rate and tokens of one process in every step,
    also at the end of an epoch that no micro-batch divides; held-out losses are of all rows."""
    alone, run = finished(None), finished(name)
    assert apart(run, alone) < APART
    for ours, theirs in zip(run.events("eval"), alone.events("eval"), strict=True):
        assert (ours["when"], ours["tokens"]) == (theirs["when"], theirs["tokens"])
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=APART)
    [reloaded] = run.events("reloaded")
    assert reloaded["agrees"]
    assert run.checkpoints() == ["checkpoint-10", "checkpoint-12"]


@pytest.fixture(scope="module")
def recording(told: Callable[..., Orders], forker: Any, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """Of one rank alone, rehearsed."""
    orders, folder = told(None), tmp_path_factory.mktemp("rehearsed")
    config = json.loads((Path(orders["model"]["folder"]) / "config.json").read_text())
    model, machine = Model("tiny", config), Machine(None, RANKS)
    knobs = replace(knobs_of(orders), gradient_accumulation_steps=1, optim="adamw_torch_fused")
    base = base_orders(model, LoRA(r=4, alpha=8), knobs, machine, False)
    (folder / "orders.json").write_text(json.dumps(rehearsal_orders(base, model, knobs, machine, Loop(), whole=True)))
    assert forker.start("rehearse", folder / "orders.json", folder / "out.json").wait() == 0
    return Recording.from_json(json.loads((folder / "out.json").read_text())["recordings"][0])


@pytest.mark.wide(3)
@pytest.mark.parametrize("name", of(*ENGINES))
def test_a_rank_holds_what_was_predicted(name: str, finished: Callable[..., Any], recording: Recording) -> None:
    """Parameters, gradients and the optimizer's state of every rank between two steps, to some scalars."""
    predicted = held_by(on_one_rank(recording, ENGINES[name], "adamw_torch", FLOAT))
    ranks = finished(name).events("measured")[-1]["ranks"]
    assert len(ranks) == RANKS
    for rank in ranks:
        assert rank == {kind: pytest.approx(nbytes, abs=HELD) for kind, nbytes in predicted.items()}


@pytest.mark.parametrize("name", of("ddp", "zero 2", "zero 3"))
@pytest.mark.wide(2)
def test_stopped_together_and_resumed(
    name: str, finished: Callable[..., Any], new_run: NewRun, told: Callable[..., Orders]
) -> None:
    """Asked to stop, all ranks stop after the same step with one checkpoint, and go on from it to the last bit; also in
    a later epoch, whose order is another."""
    run = new_run(**told(ENGINES[name], save_steps=50))
    assert run.kill_when(lambda: run.at_step(8), signal.SIGTERM) == EXIT_STOPPED
    saved = [event["step"] for event in run.events("checkpoint")]
    assert saved == [run.events("step")[-1]["step"]]
    assert run.finish(resume=True) == 0
    assert [event["resumed_from"] for event in run.events("started")] == [0, *saved]
    assert run.curve() == finished(name).curve()


@pytest.mark.parametrize("rank", [1, 0])
@pytest.mark.wide(1)
def test_a_killed_rank_ends_the_run_with_one_reason(rank: int, new_run: NewRun, told: Callable[..., Orders]) -> None:
    """The others are stopped, nobody is left, and it is said once who died and how."""
    run = new_run(**told(ENGINES["ddp"], num_train_epochs=200.0, save_steps=5000))
    worker = run.start()
    deadline = time.monotonic() + 60
    while not run.at_step(2):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    ranks = psutil.Process(worker.pid).children()
    assert len(ranks) == RANKS
    os.kill(ranks[rank].pid, signal.SIGKILL)
    assert worker.wait() == 1
    [failed] = run.events("failed")
    assert failed["reason"].startswith(f"rank {rank} was ended by the system")
    assert not [process for process in ranks if process.is_running()]


@pytest.mark.wide(0)
@pytest.mark.parametrize("name", of("ddp", "zero 3, all offloaded"))
def test_a_run_that_only_lacks_its_result_gets_it(
    name: str, finished: Callable[..., Any], new_run: NewRun, told: Callable[..., Orders]
) -> None:
    """Killed after its last checkpoint, a run trains nothing more, and leaves the adapter that it would have left."""
    run, whole = new_run(**told(ENGINES[name])), finished(name)
    saved = run.path / "checkpoints" / f"checkpoint-{LAST}"
    worker = run.start()
    while not saved.exists():
        time.sleep(0.002)
    everybody = [psutil.Process(worker.pid), *psutil.Process(worker.pid).children()]
    for process in everybody:
        process.kill()
    worker.wait()
    psutil.wait_procs(everybody[1:], timeout=10)
    assert run.finish(resume=True) == 0, run.log.read_text()[-3000:]
    assert run.events("started")[-1]["resumed_from"] == LAST
    ours, theirs = (load_file(each.path / "adapter" / "adapter_model.safetensors") for each in (run, whole))
    assert all(ours[key].equal(theirs[key]) for key in theirs)


FULL = {"peft": None, "adapter_dtype": None}


@pytest.mark.wide(1)
@pytest.mark.parametrize("name", of("zero 3", "ddp", "zero 1", "zero 2", "zero 3, all offloaded"))
def test_full_fine_tuning_is_gathered(name: str, new_run: NewRun, told: Callable[..., Orders]) -> None:
    """The whole model, of which each rank may hold a part, is saved as one process saves it."""
    runs = [new_run(**told(engine, **FULL, num_train_epochs=1.0)) for engine in (ENGINES[name], None)]
    for run in runs:
        assert run.finish() == 0, run.log.read_text()[-3000:]
        assert run.events("reloaded")[0]["agrees"]
    ours, theirs = (load_file(run.path / "adapter" / "model.safetensors") for run in runs)
    assert ours.keys() == theirs.keys()
    assert max(float((ours[key] - theirs[key]).abs().max()) for key in theirs) < 1e-3


QUANTIZED = {
    "load_in_4bit": True,
    "bnb_4bit_quant_type": "nf4",
    "bnb_4bit_use_double_quant": True,
    "bnb_4bit_compute_dtype": "float32",
}


@pytest.mark.wide(0)
@pytest.mark.parametrize("what", ["packed", "whole logits", "4 bits", "all checkpointed", "evaluated"])
@pytest.mark.parametrize("name", of("ddp", "zero 2", "zero 3"))
def test_recipes_train_as_on_one_process(what: str, name: str, new_run: NewRun, told: Callable[..., Orders]) -> None:
    """Rows that share sequences, whole logits, quantised weights, recomputed layers."""
    changes: dict[str, Any] = {
        "whole logits": {"loss": "full"},
        "all checkpointed": {"gradient_checkpointing": "all"},
        "evaluated": {"eval_strategy": "steps", "eval_steps": 5},
    }
    runs = []
    for engine in (ENGINES[name], None):
        orders = told(engine, **changes.get(what, {}))
        if what == "packed":
            orders["trainer"]["padding_free"] = True
        if what == "4 bits":
            orders["model"] = orders["model"] | {"quantization": QUANTIZED}
        run = new_run(**orders)
        assert run.finish() == 0, run.log.read_text()[-3000:]
        runs.append(run)
    ours, theirs = (run.curve() for run in runs)
    assert ours.keys() == theirs.keys()
    assert max(abs(ours[step][0] - theirs[step][0]) for step in theirs) < 1e-3
    assert ours[max(ours)][3] == theirs[max(theirs)][3]
    losses = [[event["loss"] for event in run.events("eval")] for run in runs]
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)
