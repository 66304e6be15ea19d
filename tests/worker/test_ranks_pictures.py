"""Two real processes over gloo, on rows that show images."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest
from picture_rows import EXAMPLE, picture_orders
from ranked import ENGINES, Orders, each_once, of, on_ranks

from finefit.nouns.engine import Engine
from finefit.worker.stop import EXIT_STOPPED

pytestmark = pytest.mark.xdist_group("ranks")

NewRun = Callable[..., Any]
LAST = 6
"""Of three epochs: five rows make two steps, of two micro-batches of two rows."""
APART = 1e-5


@pytest.fixture(scope="module")
def told(orders: Callable[..., Orders], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Orders]:
    """Of one process, or of two under an engine; without dropout, whose random numbers are each rank's own."""

    def make(engine: Engine | None, micro_batch: int = 2, **changes: Any) -> Orders:
        usual = {"num_train_epochs": 3.0, "gradient_accumulation_steps": 2, "per_device_train_batch_size": micro_batch}
        shown = picture_orders(orders(), tmp_path_factory.mktemp("pictures") / "data")
        shown["data"]["first"] = shown["data"]["first"][:micro_batch]
        made = orders(**shown | usual | changes)
        made["peft"] |= {"lora_dropout": 0.0}
        return made if engine is None else on_ranks(made, engine)

    return make


@pytest.fixture(scope="module")
def finished(new_run: NewRun, told: Callable[..., Orders]) -> Callable[..., Any]:
    return each_once(new_run, told)


@pytest.mark.wide(1)
@pytest.mark.parametrize("micro_batch", [2, 5], ids=["blanks", "a rank of blanks alone"])
@pytest.mark.parametrize("name", of("ddp", "zero 2", "zero 3"))
def test_ranks_see_as_one_process_does(name: str, micro_batch: int, finished: Callable[..., Any]) -> None:
    """Two ranks with half of the accumulation have the losses of one process in every step, also where the rows do not
    divide among them; what is saved is what was trained, with the processor's files beside it."""
    alone, run = (finished(each, micro_batch=micro_batch) for each in (None, name))
    assert run.curve().keys() == alone.curve().keys()
    for step, (loss, _, rate, tokens) in alone.curve().items():
        ours = run.curve()[step]
        assert ours[0] == pytest.approx(loss, abs=APART), step
        assert (ours[2], ours[3]) == (rate, tokens)
    for ours, theirs in zip(run.events("eval"), alone.events("eval"), strict=True):
        assert ours["tokens"] == theirs["tokens"]
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=APART)
    assert run.events("reloaded")[0]["agrees"]
    said = (run.path / "adapter" / "preprocessor_config.json").read_bytes()
    assert said == (EXAMPLE / "model" / "preprocessor_config.json").read_bytes()


@pytest.mark.wide(1)
@pytest.mark.parametrize("name", of("zero 3", "ddp", "zero 2"))
def test_stopped_together_and_resumed(
    name: str, finished: Callable[..., Any], new_run: NewRun, told: Callable[..., Orders]
) -> None:
    """To the last bit, also in a later epoch."""
    run = new_run(**told(ENGINES[name], save_steps=50))
    assert run.kill_when(lambda: run.at_step(4), signal.SIGTERM) == EXIT_STOPPED
    assert run.finish(resume=True) == 0, run.log.read_text()[-3000:]
    assert run.events("started")[-1]["resumed_from"] >= 4
    assert run.curve() == finished(name).curve()
    assert max(run.curve()) == LAST
