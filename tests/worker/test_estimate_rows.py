"""`finefit estimate --data`: the rows that a run would train on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from test_plan import Heard

from finefit.api import plan_job
from finefit.cli.main import run
from finefit.nouns.plan import Plan
from finefit.show.json import plain
from finefit.world.lengths import APPROXIMATION, approximate_lengths
from finefit.world.rows import scan

OPTIONS = {"gpu": "RTX4090", "global-batch-size": "8", "per-device-train-batch-size": "2"}
PINNED = OPTIONS | {"gradient-checkpointing": "all"}
WORDS = [word for name, value in OPTIONS.items() for word in (f"--{name}", value)]


def estimated(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert run(["estimate", *words, *WORDS, "--json"]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


def test_a_file_is_estimated_as_it_is_trained(
    model_folder: Path, data: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The ledger of an estimate with a job's data file is that of the job's plan, to the byte, and so are the rows."""
    job = tmp_path / "job.yaml"
    job.write_text(json.dumps({"model": str(model_folder), "data": data["train"]}))
    plan = plan_job(str(job), PINNED, Heard())
    assert isinstance(plan, Plan)
    told = estimated(capsys, str(model_folder), "--data", data["train"])
    ledger, memory = plan.ledger, told["memory"]
    assert ledger.reserved is not None
    assert ledger.device is not None
    assert memory["phases"] == ledger.phases
    assert [line["bytes"] for line in memory["lines"]] == [line.nbytes for line in ledger.lines]
    assert memory["reserved_bytes"] == ledger.reserved.typical
    assert (memory["low_bytes"], memory["high_bytes"]) == (ledger.device.low, ledger.device.high)
    assert memory["uncertainty"] == [plain(reason) for reason in ledger.device.reasons]
    assert "this run's own order" in memory["uncertainty"][0]["why"]
    assert told["data"] == plain(plan.data)
    assert told["recipe"]["max_length"] == plan.knobs.max_length == 44


def test_without_a_tokenizer_lengths_are_guessed_and_it_is_said(
    model_folder: Path, data: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The guessed lengths take the place of those that the tokenizer counts, in all else."""
    shutil.copy(model_folder / "config.json", tmp_path)
    told = estimated(capsys, str(tmp_path), "--data", data["train"])
    lengths = [tokens for tokens, _ in approximate_lengths(data["train"], scan(data["train"]), assistant_only=True)]
    assert (told["data"]["longest_tokens"], told["data"]["total_tokens"]) == (max(lengths), sum(lengths))
    assert told["recipe"]["max_length"] == max(lengths)
    assert APPROXIMATION in told["notes"]
    assert "this run's own order" in told["memory"]["uncertainty"][0]["why"]


def test_rows_that_are_too_long_are_named_as_for_a_run(
    model_folder: Path, data: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """--max-length cuts nothing: it says what no row may have more of."""
    assert run(["estimate", str(model_folder), "--data", data["train"], "--max-length", "30", *WORDS]) == 2
    said = capsys.readouterr().err
    assert f"{data['train']}:8: the row has 44 tokens, more than max_length 30" in said


@pytest.mark.parametrize(
    ("command", "which"), [("estimate", "train"), ("plan", "train"), ("train", "train"), ("train", "eval")]
)
def test_a_table_of_positions_ends_rows(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, which: str
) -> None:
    """Without --max-length too, trained on or held out: the run would end at the first such row."""
    folder = shutil.copytree(model_folder, tmp_path / "model")
    config = {"model_type": "gpt2", "n_positions": 40, "n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": 600}
    (folder / "config.json").write_text(json.dumps(config))
    for name, text in {"short": "words " * 4, "long": "words " * 60}.items():
        (tmp_path / f"{name}.jsonl").write_text((json.dumps({"text": text}) + "\n") * 8)
    trained, held_out = ("long", "short") if which == "train" else ("short", "long")
    job = {"model": str(folder), "data": f"{trained}.jsonl", "eval_data": f"{held_out}.jsonl", "method": "full"}
    (tmp_path / "job.yaml").write_text(json.dumps(job | {"output_dir": str(tmp_path / "out")}))
    rows = ["estimate", str(folder), "--data", str(tmp_path / f"{trained}.jsonl")]
    gpu = "cpu" if command == "train" else "RTX4090"
    words = rows if command == "estimate" else [command, str(tmp_path / "job.yaml")]
    assert run([*words, "--gpu", gpu]) == 2
    said = capsys.readouterr().err
    assert "long.jsonl:1: the row has " in said
    assert "40 positions" in said


def test_bad_rows_are_named_before_anything_is_rehearsed(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By their file and line."""
    (tmp_path / "rows.jsonl").write_text('\n{"question": "x"}\n')
    assert run(["estimate", str(model_folder), "--data", str(tmp_path / "rows.jsonl"), *WORDS]) == 2
    assert f"{tmp_path / 'rows.jsonl'}:2: no `messages`" in capsys.readouterr().err


def test_rows_are_told_of_several_gpus(
    model_folder: Path, data: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The rank that takes most; it says so. Divided among more, a rank's part takes less."""
    peaks = []
    for count in (2, 4):
        gpus = ["--gpu", f"{count}xRTX4090", "--zero-stage", "2", "--method", "full"]
        words = ["--data", data["train"], *gpus, "--json"]
        assert run(["estimate", str(model_folder), *words]) == 0
        told = json.loads(capsys.readouterr().out)
        assert any("the rank that takes most" in note for note in told["notes"])
        peaks.append(told["memory"]["allocated_bytes"])
    assert peaks[1] < peaks[0]
