"""`finefit train`, `receipt` and `generate`."""

from __future__ import annotations

import json

import pytest

from .conftest import Cli


@pytest.fixture
def job(cli: Cli) -> str:
    (cli.folder / "rows.jsonl").write_text("")
    (cli.folder / "job.yaml").write_text("model: gpt2\ndata: rows.jsonl\nlora_rank: 8\n")
    return "job.yaml"


@pytest.mark.parametrize(
    ("words", "overrides"),
    [
        ("job.yaml", {}),
        ("job.yaml --max-steps 3 --lr 1e-4", {"max-steps": "3", "lr": "1e-4"}),
        ("--max_steps=3 job.yaml --json", {"max_steps": "3"}),
        ("--max-steps -1 job.yaml", {"max-steps": "-1"}),
        ("--trust-remote-code job.yaml", {"trust-remote-code": "true"}),
        ("job.yaml --assistant-only-loss false --use-lora", {"assistant-only-loss": "false", "use-lora": "true"}),
    ],
)
def test_options_of_train_are_keys_of_the_job(cli: Cli, job: str, words: str, overrides: dict[str, str]) -> None:
    """Before or after the file, with a space or an equals sign, switches without a value."""
    said = cli("train", *words.split())
    assert said.code == 0, said.err
    assert cli.api.asked == {"job_or_run": job, "overrides": overrides, "resume": False}


def test_a_run_ends_with_its_receipt(cli: Cli, job: str) -> None:
    """On stdout for people, or as JSON alone; how it went is on stderr."""
    said = cli("train", job)
    assert "training loss" in said.out
    assert "lora_rank: read as lora_r" in said.err
    assert json.loads(cli("train", job, "--json").out)["steps"] == 4


def test_a_run_is_resumed_by_its_folder(cli: Cli) -> None:
    """Only the folder is needed."""
    assert cli("train", "runs/job-1", "--resume").code == 0
    assert cli.api.asked == {"job_or_run": "runs/job-1", "overrides": {}, "resume": True}


@pytest.mark.parametrize(
    ("words", "fragments"),
    [
        (["--lora-rr", "8"], ["--lora-rr: unknown option", "did you mean '--lora-r'?"]),
        (["--seed"], ["--seed: needs a value"]),
        (["--seed", "x", "--max-steps", "0"], ["--seed: 'x'", "--max-steps: 0 is out of range"]),
        (["--method", "auto"], ["comes in a later version"]),
    ],
)
def test_a_bad_option_leaves_nothing_behind(cli: Cli, job: str, words: list[str], fragments: list[str]) -> None:
    """No run folder is made for a job with a problem."""
    said = cli("train", job, *words)
    assert (said.code, said.out) == (2, "")
    assert all(fragment in said.err for fragment in fragments)
    assert sorted(path.name for path in cli.folder.iterdir()) == ["job.yaml", "rows.jsonl"]


def test_a_failed_run_says_where_its_log_is(cli: Cli, job: str) -> None:
    """The worker's own words are one file away."""
    cli.api.failure = cli.failed
    said = cli("train", job)
    assert said.code == 1
    assert "worker.log" in said.err


def test_a_receipt_is_shown_or_printed_as_json(cli: Cli) -> None:
    """The same receipt for people and programs."""
    assert "runs/x" in cli("receipt", "runs/x").out
    assert json.loads(cli("receipt", "runs/x", "--json").out)["run"] == "runs/x"


def test_answers_are_on_stdout_alone(cli: Cli) -> None:
    """A single answer can be piped; several come with their prompts in JSON."""
    assert cli("generate", "gpt2", "--prompt", "hello").out == "HELLO\n"
    said = cli("generate", "gpt2", "--prompt", "a", "--prompt", "b", "--base", "--max_new_tokens", "5", "--json")
    assert json.loads(said.out)["answers"] == [{"prompt": "a", "answer": "A"}, {"prompt": "b", "answer": "B"}]
    assert cli.api.asked == {"target": "gpt2", "prompts": ["a", "b"], "max_new_tokens": 5, "base": True}
