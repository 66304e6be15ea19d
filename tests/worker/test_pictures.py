"""Real runs on rows that show images: what a worker trains on, and what it leaves behind."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from picture_rows import EXAMPLE, picture_orders
from processors import loadable
from vision import FAMILIES

from finefit.worker.longest_first import LongestFirst
from finefit.worker.seeing import with_first

pytestmark = pytest.mark.xdist_group("pictures")


@pytest.fixture(scope="module")
def seeing(new_run: Callable[..., Any], orders: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """A run of the example's rows, in a folder of their own, with adapters in language model and tower."""

    def make(model: Path = EXAMPLE / "model", **changes: Any) -> Any:
        return new_run(**picture_orders(orders(), tmp_path_factory.mktemp("pictures") / "data", model) | changes)

    return make


@pytest.fixture(scope="module")
def whole(seeing: Callable[..., Any]) -> Any:
    """A run that nothing disturbs."""
    run = seeing()
    assert run.finish() == 0, run.log.read_text()
    return run


def test_interruptions_leave_no_trace(whole: Any, seeing: Callable[..., Any]) -> None:
    """Killed and resumed, each step computes what it would have, to the bit, and the same is saved."""
    run = seeing()
    assert run.kill_when(lambda: run.at_step(3)) == -signal.SIGKILL
    assert run.finish(resume=True) == 0, run.log.read_text()
    assert run.events("started")[-1]["resumed_from"] >= 2
    assert list(whole.curve()) == list(range(1, 7))
    assert run.curve() == whole.curve()
    saved = [(each.path / "adapter" / "adapter_model.safetensors").read_bytes() for each in (whole, run)]
    assert saved[0] == saved[1]


def test_what_is_saved_is_what_was_trained(whole: Any) -> None:
    """Read back, it has the trained model's logits on rows with their pictures, to the bit; the processor lies beside
    it, with nothing of a stand-in."""
    assert whole.events("reloaded")[0]["max_difference"] == 0.0
    said = (whole.path / "adapter" / "preprocessor_config.json").read_bytes()
    assert said == (EXAMPLE / "model" / "preprocessor_config.json").read_bytes()
    assert not whole.events("note")


def test_training_on_pictures_helps(whole: Any) -> None:
    """The held-out loss falls, of answers alone: questions and placeholders are not trained."""
    before, later = whole.events("eval")
    assert later["loss"] < before["loss"]
    rows = [json.loads(line)["messages"] for line in (EXAMPLE / "heldout.jsonl").read_text().splitlines()]
    end = 1
    assert later["tokens"] == sum(len(answer["content"]) + end for _, answer in rows)  # the tokenizer knows bytes


def test_the_fullest_rows_come_together_in_the_second_step() -> None:
    """In the order in which they were rehearsed; every row comes once."""
    lengths = [5, 9, 3, 4, 8, 7, 2, 6]
    order = list(LongestFirst(with_first(lengths, [2, 6]), 2, 2, seed=1, together=2))
    assert order[6:8] == [2, 6]
    assert order[2:4] == [1, 4]
    assert sorted(order) == list(range(8))


def test_pixels_that_cannot_be_read_end_a_run(seeing: Callable[..., Any]) -> None:
    """A picture whose header is whole and whose pixels are not: the row is named."""
    run = seeing()
    photo = Path(run._orders["data"]["train"]).parent / "images" / "photo.png"
    photo.write_bytes(photo.read_bytes()[:200])
    assert run.finish() == 1
    assert ": an image cannot be read" in run.events("failed")[0]["reason"]


def test_a_processor_that_does_otherwise_is_told(seeing: Callable[..., Any]) -> None:
    """Once, with the first such row; a row that becomes too long so ends the run."""
    run = seeing(num_train_epochs=1.0)
    run._orders["images"]["sizes"][0]["runs"] = [3]
    assert run.finish() == 0, run.log.read_text()
    [note] = run.events("note")
    assert "the model's processor makes" in note["text"]
    run = seeing(num_train_epochs=1.0)
    run._orders["max_length"] = 1330
    run._orders["images"]["sizes"][1]["runs"] = [1]
    assert run.finish() == 1
    assert "rows.jsonl:2: the row has 1334 tokens, more than max_length 1330" in run.events("failed")[0]["reason"]


@pytest.mark.wide(3)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_trained(seeing: Callable[..., Any], tmp_path: Path, family: str) -> None:
    """With its own processor, which makes as many tokens of each row as were planned, and what is saved agrees."""
    loadable(tmp_path, family)
    run = seeing(tmp_path)
    assert run.finish() == 0, run.log.read_text()
    assert run.events("reloaded")[0]["agrees"]
    assert [note["text"].rpartition(":")[2] for note in run.events("note")] == []
