"""Real runs on preferences: what a worker leaves behind, and that a rehearsal of the same orders has said it."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pair_rows import LONGEST_TOKENS, ROWS, told, written
from recipes import rehearsed

from finefit.errors import BadInput
from finefit.nouns.recording import Recording
from finefit.tape.peaks import phase_peaks

NewRun = Callable[..., Any]
pytestmark = pytest.mark.xdist_group("train preferences")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("pairs")
    return {"train": str(written(folder / "train.jsonl", ROWS)), "eval": str(written(folder / "eval.jsonl", 5))}


MADE: dict[str, dict[str, Any]] = {
    "adapters off": {"reference": "adapter_off", "per_device_eval_batch_size": 1},
    "beside a copy": {"reference": "model", "per_device_eval_batch_size": 5},
    "precomputed": {"reference": "precomputed", "eval_strategy": "steps", "eval_steps": 2},
    "full, beside a copy": {"reference": "model", "peft": None},
    "full, precomputed": {"reference": "precomputed", "peft": None},
}


@pytest.fixture(scope="module")
def runs(new_run: NewRun, pairs: dict[str, str]) -> dict[str, Any]:
    """Each of them, undisturbed."""
    made = {name: new_run(**told(pairs, **changes)) for name, changes in MADE.items()}
    for run in made.values():
        assert run.finish() == 0, run.log.read_text()
    return made


def last(run: Any) -> dict[str, Any]:
    found: dict[str, Any] = run.events("eval")[-1]
    assert found["when"] == "after"
    return found


REHEARSAL = {
    "rehearsal": {
        "accumulation": 1,
        "layers": [None],
        "compute_capability": [8, 0],
        "attention_kernel": "auto",
        "hold_outputs": "no",
    }
}


def test_pairs_that_are_too_long_are_named(pairs: dict[str, str], orders: Any) -> None:
    """By the longer of their answers, and their line: neither is cut."""
    order = orders(**told(pairs, "adapter_off"))
    with pytest.raises(BadInput) as caught:
        rehearsed(order | REHEARSAL | {"max_length": LONGEST_TOKENS - 1})
    said = f"{pairs['train']}:{ROWS - 1}: the row has {LONGEST_TOKENS} tokens, more than max_length"
    assert said in str(caught.value.problems[0])
    assert rehearsed(order | REHEARSAL | {"max_length": LONGEST_TOKENS}).parameters


@pytest.mark.wide(3)
@pytest.mark.parametrize("name", MADE)
def test_a_rehearsal_of_pairs_equals_the_run(runs: Any, pairs: dict[str, str], orders: Any, name: str) -> None:
    """Its peaks are the run's to the byte, in every phase: the reference's, and that of held-out pairs."""
    recorded = Recording.from_json(json.loads((runs[name].path / "recording.json").read_text()))
    fake = rehearsed(orders(**told(pairs, **MADE[name])) | REHEARSAL)
    expected = phase_peaks(recorded)
    assert ("reference" in expected) == (MADE[name]["reference"] != "precomputed")
    assert expected["evaluation"] > expected["resident"]
    assert phase_peaks(fake) == expected
    assert (fake.parameters, fake.trainable_parameters) == (recorded.parameters, recorded.trainable_parameters)


@pytest.mark.parametrize(
    ("one", "other"),
    [("adapters off", "beside a copy"), ("adapters off", "precomputed"), ("full, beside a copy", "full, precomputed")],
)
def test_whoever_says_it_the_losses_are_the_same(runs: Any, one: str, other: str) -> None:
    """The model with its adapters off, a copy of it, and what was asked of it before give one curve; held-out losses
    and rewards are the same, however pairs are batched."""
    for mine, its in zip(*(runs[name].curve().values() for name in (one, other)), strict=True):
        assert mine == pytest.approx(its, rel=1e-3)
    mine, its = (last(runs[name]) for name in (one, other))
    assert mine["pairs"] == its["pairs"] == 5
    assert mine["loss"] == pytest.approx(its["loss"], rel=1e-3)
    assert mine["rewards"] == pytest.approx(its["rewards"], rel=1e-2, abs=1e-3)


@pytest.mark.parametrize("name", MADE)
def test_preferences_are_learnt(runs: Any, name: str) -> None:
    """Before training nothing is preferred, and the loss is that of guessing; then it falls, and margins are there."""
    steps, before = runs[name].events("step"), runs[name].events("eval")[0]
    assert before["loss"] == pytest.approx(0.6931, abs=1e-3)
    assert before["rewards"]["margins"] == pytest.approx(0, abs=1e-3)
    assert max(event["loss"] for event in steps[-7:]) < steps[0]["loss"]
    assert min(event["rewards"]["margins"] for event in steps[-7:]) > 0
    for event in steps:
        rewards = event["rewards"]
        assert rewards["margins"] == pytest.approx(rewards["chosen"] - rewards["rejected"], abs=1e-5)
        assert 0 <= rewards["accuracies"] <= 1
    assert runs[name].events("reloaded")[0]["max_difference"] == 0.0


def test_the_longest_pair_is_measured(runs: Any) -> None:
    """It comes in the second step: both answers of each of its pairs, as long as the longest sequence."""
    recording = Recording.from_json(json.loads((runs["adapters off"].path / "recording.json").read_text()))
    names = [recording.kind_names[kind] for kind in recording.kinds]
    batch = [size for size, name in zip(recording.nbytes, names, strict=True) if name[0] == "batch"]
    micro_batch, int64 = 2, 8
    assert max(batch) == LONGEST_TOKENS * 2 * micro_batch * int64


def test_what_a_reference_said_stays_in_the_run(runs: Any, pairs: dict[str, str]) -> None:
    """One file, of all pairs, and nothing beside the data."""
    for name, run in runs.items():
        assert (run.path / "reference.json").exists() == ("precomputed" in name)
    known = json.loads((runs["precomputed"].path / "reference.json").read_text())
    assert [len(each) for each in known.values()] == [ROWS, 5]
    folder = Path(pairs["train"]).parent
    assert sorted(path.name for path in folder.iterdir()) == ["eval.jsonl", "train.jsonl"]


def test_interruptions_leave_no_trace(runs: Any, new_run: NewRun, pairs: dict[str, str]) -> None:
    """A run that was killed and stopped goes on to the bit, and the reference is asked once."""
    whole = runs["precomputed"]
    run = new_run(**told(pairs, **MADE["precomputed"]))
    assert run.kill_when(lambda: run.at_step(8)) == -signal.SIGKILL
    asked = (run.path / "reference.json").stat().st_mtime_ns
    assert run.kill_when(lambda: run.at_step(11), signal.SIGTERM, resume=True) == 3
    assert run.finish(resume=True) == 0, run.log.read_text()
    assert run.curve() == whole.curve()
    assert (last(run)["loss"], last(run)["rewards"]) == (last(whole)["loss"], last(whole)["rewards"])
    weights = [(each.path / "adapter" / "adapter_model.safetensors").read_bytes() for each in (run, whole)]
    assert weights[0] == weights[1]
    assert (run.path / "reference.json").stat().st_mtime_ns == asked
    assert run.checkpoints() == whole.checkpoints()
