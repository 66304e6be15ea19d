"""`finefit train`, `receipt`, `generate`, `chat` and `export`."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from finefit.nouns.sampling import Sampling

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


def test_options_may_be_all_of_a_job(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rows.jsonl").write_text("")
    said = cli("train", "--model", "gpt2", "--data", "rows.jsonl")
    assert said.code == 0, said.err
    assert cli.api.asked == {"job_or_run": "", "overrides": {"model": "gpt2", "data": "rows.jsonl"}, "resume": False}


def test_a_run_ends_with_its_receipt(cli: Cli, job: str) -> None:
    """On stdout for people, or as JSON alone; how it went is on stderr."""
    said = cli("train", job)
    assert "training loss" in said.out
    assert "lora_rank: read as lora_r" in said.err
    assert json.loads(cli("train", job, "--json").out)["steps"] == 4


def test_another_tools_file_stands_in_the_place_of_a_job(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Options win over it too; a job of one's own is none, and a run keeps its job."""
    monkeypatch.chdir(tmp_path)
    Path("rows.jsonl").write_text("")
    Path("trl.yaml").write_text("model_name_or_path: gpt2\ndataset_name: rows.jsonl\n")
    said = cli("train", "--from", "trl.yaml", "--max-steps", "3")
    assert said.code == 0, said.err
    assert cli.api.asked == {"job_or_run": "trl.yaml", "overrides": {"max-steps": "3"}, "resume": False}
    assert "num_train_epochs 3.0, as TRL has it" in said.err.replace("\n", " ")
    for words in (("--from", "a.yaml", "b.yaml"), ("runs/job-1", "--resume", "--from", "a.yaml")):
        assert cli("train", *words).code == 2


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
    assert cli.api.asked == {"target": "gpt2", "prompts": ["a", "b"], "sampling": Sampling(5), "base": True}


def test_two_answers_stand_side_by_side(cli: Cli) -> None:
    """--compare shows what the model said before its run, and after."""
    said = cli("generate", "runs/x", "--prompt", "hello", "--compare")
    assert said.out.split() == ["before:", "hello", "after:", "HELLO"]
    pairs = json.loads(cli("generate", "runs/x", "--prompt", "hello", "--compare", "--json").out)["answers"]
    assert pairs == [{"prompt": "hello", "base_answer": "hello", "answer": "HELLO"}]


def test_a_file_is_answered_as_it_is_asked(cli: Cli) -> None:
    """Options in transformers' names; what was written is told on stdout."""
    words = "--input in.jsonl -o out.jsonl --temperature 0.7 --top-p 0.9 --top-k 5 --seed 3 --compare"
    said = cli("generate", "runs/x", *words.split(), "--per-device-eval-batch-size", "4")
    assert said.out == "out.jsonl: 2 rows answered with 30 tokens, 20 tokens/s\n"
    assert cli.api.asked["sampling"] == Sampling(128, 0.7, 0.9, 5, seed=3)
    assert (cli.api.asked["batch"], cli.api.asked["compared"]) == (4, True)


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        ("", "nothing is asked"),
        ("--prompt a --input x --output y", "--prompt: means nothing with --input"),
        ("--image a.png --input x --output y", "--image: means nothing with --input"),
        ("--image a.png", "nothing is asked"),
        ("--input x", "--input: needs --output"),
        ("--output x --prompt a", "--output: needs --input"),
        ("--prompt a --base --compare", "--base: means nothing with --compare"),
        ("--prompt a --top-p 2", "--top-p"),
        ("--prompt a --top-k 2", "--top-k: means nothing here"),
    ],
)
def test_answers_are_asked_for_in_one_way(cli: Cli, words: str, fragment: str) -> None:
    """What contradicts itself is bad input before a model is loaded."""
    said = cli("generate", "runs/x", *words.split())
    assert (said.code, cli.api.asked) == (2, {})
    assert fragment in said.err


def test_a_conversation_comes_from_a_pipe(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, one answer, nothing else on stdout; /reset forgets, what cannot be answered does not end it."""
    monkeypatch.setattr("sys.stdin", io.StringIO("one\ntwo\n\nbad\n/reset\n/what\nthree\n/exit\nfour\n"))
    said = cli("chat", "runs/x", "--base")
    assert (said.code, said.out) == (0, "ONE 1\nTWO 2\nTHREE 1\n")
    assert cli.api.asked == {"target": "runs/x", "base": True, "sampling": Sampling(256, None)}


def test_a_conversation_is_one_object(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """--json says all turns at the end, and nothing before."""
    monkeypatch.setattr("sys.stdin", io.StringIO("one\nbad\n"))
    turns = json.loads(cli("chat", "gpt2", "--json", "--temperature", "0").out)["turns"]
    assert [(turn["prompt"], turn["answer"]) for turn in turns] == [("one", "ONE 1")]


def test_images_come_before_words(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every prompt, in their order; in a chat with the line after them, until it is said or forgotten."""
    said = cli("generate", "gpt2", "--prompt", "a", "--image", "x y.png", "--image", "z.png", "--json")
    assert cli.api.asked["images"] == ["x y.png", "z.png"]
    assert json.loads(said.out)["images"] == ["x y.png", "z.png"]
    lines = "/image x y.png\n/image z.png\none\ntwo\n/image z.png\n/reset\nthree\n/image z.png\nbad\nfour\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    turns = json.loads(cli("chat", "gpt2", "--json").out)["turns"]
    assert [(turn["answer"], turn.get("images")) for turn in turns] == [
        ("ONE 3", ["x y.png", "z.png"]), ("TWO 4", None), ("THREE 1", None), ("FOUR 3", None),
    ]  # fmt: skip


def test_a_pipe_that_shows_no_image_ends(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows would be about another one."""
    monkeypatch.setattr("sys.stdin", io.StringIO("one\n/image gone.png\ntwo\n"))
    said = cli("chat", "gpt2")
    assert (said.code, said.out) == (2, "ONE 1\n")
    assert "cannot be read" in said.err


def test_an_export_is_told(cli: Cli) -> None:
    """Where it lies, and how far it is from what was trained; its progress is on stderr."""
    said = cli("export", "runs/x", "-o", "there", "--dtype", "float16", "--original-base", "--gguf")
    assert said.code == 0
    assert "1e-06 apart" in said.out
    assert "merging" in said.err
    asked = {"run": "runs/x", "folder": Path("there"), "dtype": "float16", "original_base": True, "as_gguf": True}
    assert cli.api.asked == asked | {"push_to_hub": None, "private": None}
    cli("export", "runs/x", "--push-to-hub", "org/name", "--public")
    assert (cli.api.asked["push_to_hub"], cli.api.asked["private"]) == ("org/name", False)
    assert json.loads(cli("export", "runs/x", "--json").out)["difference"]["max_difference"] == 1e-6
