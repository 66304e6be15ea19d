"""Real runs of a tiny model: what a worker leaves behind, however it ends."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finefit.nouns.recording import Recording
from finefit.tape.peaks import phase_peaks
from finefit.worker.alone import alone_in

NewRun = Callable[..., Any]

pytestmark = pytest.mark.xdist_group("train")


@pytest.fixture(scope="module")
def whole(new_run: NewRun) -> Any:
    """A run that nothing disturbs."""
    run = new_run()
    assert run.finish() == 0, run.log.read_text()
    return run


@pytest.fixture(scope="module")
def disturbed(new_run: NewRun) -> Any:
    """The same run, ended in every way that there is, evaluated on the way, and resumed each time."""
    run = new_run(eval_strategy="steps", eval_steps=5)
    saving = run.path / "checkpoints" / ".partial" / "checkpoint-10"
    assert run.kill_when(lambda: run.at_step(1)) == -signal.SIGKILL  # before anything is saved
    assert run.kill_when(lambda: run.at_step(5), resume=True) == -signal.SIGKILL  # in the first epoch
    assert run.kill_when(lambda: run.at_step(7), signal.SIGTERM, resume=True) == 3  # politely, in the second
    run.stopped_at = max(int(name.rpartition("-")[2]) for name in run.checkpoints())
    assert run.kill_when(saving.exists, resume=True) == -signal.SIGKILL  # while it saves
    newest = max((run.path / "checkpoints").glob("checkpoint-*"), key=lambda path: int(path.name[11:]))
    (newest / "optimizer.pt").write_bytes(b"")
    run.damaged = newest.name
    assert run.kill_when(lambda: bool(after(run)), resume=True) == -signal.SIGKILL  # trained, not yet done
    assert run.finish(resume=True) == 0, run.log.read_text()
    return run


def after(run: Any) -> list[dict[str, Any]]:
    return [event for event in run.events("eval") if event["when"] == "after"]


def test_interruptions_leave_no_trace(whole: Any, disturbed: Any) -> None:
    """However often a run is killed or stopped and resumed, each step computes what it would have, to the bit."""
    assert list(whole.curve()) == list(range(1, 13))
    assert disturbed.curve() == whole.curve()
    assert after(disturbed)[-1]["loss"] == after(whole)[-1]["loss"]
    assert weights(disturbed) == weights(whole)


def weights(run: Any) -> bytes:
    return bytes((run.path / "adapter" / "adapter_model.safetensors").read_bytes())


def test_nothing_saved_is_lost(disturbed: Any) -> None:
    """A resumed run goes on from the newest checkpoint that it had reported."""
    saved = 0
    for event in disturbed.events():
        if event["event"] == "started":
            assert event["resumed_from"] >= saved
        elif event["event"] == "checkpoint":
            saved = event["step"]
        elif event["event"] == "note" and disturbed.damaged in event["text"]:
            saved = 0  # its newest was damaged on purpose


def test_a_stopped_run_has_saved_its_step(disturbed: Any) -> None:
    """After a polite signal the worker ends its step, saves it and says so."""
    stop = [event["event"] for event in disturbed.events()].index("stopped")
    last = [event for event in disturbed.events()[:stop] if event["event"] == "step"][-1]
    assert disturbed.stopped_at == last["step"]


def test_a_damaged_checkpoint_is_named_and_skipped(disturbed: Any) -> None:
    """Training goes on from the checkpoint before a damaged one."""
    notes = [event["text"] for event in disturbed.events("note")]
    assert any(note.startswith(f"{disturbed.damaged} is damaged") and "optimizer.pt" in note for note in notes)


def test_the_newest_checkpoints_are_kept(whole: Any, disturbed: Any) -> None:
    """`save_total_limit` complete checkpoints stay, and nothing else."""
    assert whole.checkpoints() == disturbed.checkpoints() == ["checkpoint-10", "checkpoint-12"]


def test_tokens_are_counted_without_padding(whole: Any, data: dict[str, str]) -> None:
    """After two epochs every row's tokens have been counted twice."""
    rows = [json.loads(line)["messages"] for line in Path(data["train"]).read_text().splitlines()]
    marks = 3  # <user>, <answer> and <end>
    tokens = sum(marks + sum(len(message["content"].split()) for message in row) for row in rows)
    assert whole.events("step")[-1]["tokens"] == whole.events("done")[0]["tokens"] == 2 * tokens


def test_the_longest_row_is_measured(whole: Any) -> None:
    """The last micro-batch of the second step has the longest row, and its memory is in the recording."""
    recording = Recording.from_json(json.loads((whole.path / "recording.json").read_text()))
    names = [recording.kind_names[kind] for kind in recording.kinds]
    batch = [size for size, name in zip(recording.nbytes, names, strict=True) if name[0] == "batch"]
    longest_tokens, micro_batch, int64 = 1 + 40 + 3, 2, 8
    assert max(batch) == batch[-1] == longest_tokens * micro_batch * int64
    peaks = phase_peaks(recording)
    assert peaks["peak"] == max(peaks.values()) > peaks["resident"] > 0


def test_what_is_saved_is_what_was_trained(whole: Any) -> None:
    """A fresh model with the saved adapter computes the trained model's logits; on one processor, to the bit."""
    assert whole.events("reloaded")[0]["max_difference"] == 0.0
    assert (whole.path / "adapter" / "tokenizer.json").exists()


def test_training_helps(whole: Any) -> None:
    """The held-out loss is measured before and after, and falls."""
    before, later = whole.events("eval")
    assert (before["when"], later["when"]) == ("before", "after")
    assert later["loss"] < before["loss"]
    assert later["tokens"] == before["tokens"] > 0


def test_every_step_is_reported(whole: Any) -> None:
    """A step's event has all that a screen shows, as finite numbers."""
    for event in whole.events("step"):
        assert event["memory_kind"] == "rss"
        assert 0 < event["memory_bytes"] <= event["peak_bytes"]
        assert event["steps"] == 12
        assert all(isinstance(event[key], float) for key in ("epoch", "tokens_per_second", "seconds_left", "seconds"))
    assert whole.events("step")[-1]["seconds_left"] == 0


def test_full_fine_tuning_and_its_answers(new_run: NewRun, forker: Any, orders: Any, tmp_path: Path) -> None:
    """The whole model is saved, agrees when it is read back, and answers otherwise than the one it came from."""
    run = new_run(peft=None, num_train_epochs=1.0, data=orders()["data"] | {"eval": None}, loss="full")
    assert run.finish() == 0, run.log.read_text()
    assert run.events("reloaded")[0]["max_difference"] == 0.0
    assert run.events("eval") == []
    assert not (run.path / "adapter" / "adapter_config.json").exists()
    answers = {adapter: answer_of(forker, orders(), adapter, tmp_path) for adapter in (None, str(run.path / "adapter"))}
    assert len(set(answers.values())) == 2
    assert answers == {adapter: answer_of(forker, orders(), adapter, tmp_path) for adapter in answers}


def answer_of(forker: Any, orders: dict[str, Any], adapter: str | None, folder: Path) -> str:
    asked = {
        "model": orders["model"],
        "adapter": adapter,
        "device": "cpu",
        "conversations": [[{"role": "user", "content": "w5"}]],
        "where": ["the prompt"],
        "batch": 1,
        "lines": None,
        "max_new_tokens": 8,
        "temperature": 0,
        "seed": 1,
    }
    (folder / "generate.json").write_text(json.dumps(asked))
    assert forker.start("generate", folder / "generate.json", folder / "out.json").wait() == 0
    [text] = json.loads((folder / "out.json").read_text())["texts"]
    return str(text)


def test_a_diverged_run_says_so_and_saves_nothing_broken(new_run: NewRun) -> None:
    """A loss that is not a number ends the run before its weights replace good checkpoints."""
    run = new_run(learning_rate=1e30, lr_scheduler_type="constant", save_steps=1)
    assert run.finish() == 1
    assert "diverged" in run.events("failed")[0]["reason"]
    broken = run.events("step")[-1]
    assert broken["loss"] is None
    assert f"checkpoint-{broken['step']}" not in run.checkpoints()


def test_a_second_worker_is_refused(new_run: NewRun) -> None:
    """Two workers never write into one run folder."""
    run = new_run()
    run.path.mkdir()
    with alone_in(run.path):
        assert run.finish() == 1
    assert "another worker" in run.events("failed")[0]["reason"]
