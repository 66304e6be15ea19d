"""`finefit estimate --task generate`."""

from __future__ import annotations

import json

import pytest

from finefit.nouns.knobs import Knobs
from finefit.nouns.method import Full, LoRA, QLoRA
from finefit.nouns.task import Generate

from .conftest import Cli

WORDS = ("estimate", "gpt2", "--task", "generate")


def test_a_writer_has_defaults_of_its_own(cli: Cli) -> None:
    """All weights in half precision, nothing recomputed, 128 tokens with adapters on, for which there is room."""
    assert cli(*WORDS).code == 0
    assert cli.api.asked["task"] == Generate()
    assert cli.api.asked["method"] == LoRA()
    knobs = Knobs(max_length=1024 - 128, gradient_checkpointing=0, dtype="bfloat16", mixed_precision="no")
    assert cli.api.asked["knobs"] == knobs


@pytest.mark.parametrize(
    ("words", "task"),
    [
        ("--max-new-tokens 7", Generate(7)),
        ("--num-beams 4 --base", Generate(num_beams=4, base=True)),
        ("--cache-implementation fp8", Generate(cache="fp8")),
    ],
)
def test_options_become_an_answer(cli: Cli, words: str, task: Generate) -> None:
    """In transformers' names; JSON says them too."""
    said = cli(*WORDS, "--json", *words.split())
    assert (said.code, cli.api.asked["task"]) == (0, task)
    data = json.loads(said.out)
    assert data["recipe"]["task"] == "generate"
    assert data["recipe"]["max_new_tokens"] == task.max_new_tokens
    assert data["recipe"]["num_beams"] == task.num_beams
    assert data["recipe"]["cache_implementation"] == task.cache
    assert "optim" not in data["recipe"]


@pytest.mark.parametrize(
    ("words", "method", "heading"),
    [
        ("--method full", Full(), "gpt2: generation\n"),
        ("--lora-r 4", LoRA(r=4), "gpt2: generation with LoRA r 4"),
        ("--method qlora4", QLoRA(), "gpt2: generation with LoRA r 16"),
        ("--method qlora4 --base", QLoRA(), "gpt2: generation, weights in"),
    ],
)
def test_methods_say_what_is_loaded(cli: Cli, words: str, method: object, heading: str) -> None:
    """The weights as they were trained beside, with adapters or without."""
    said = cli(*WORDS, *words.split())
    assert cli.api.asked["method"] == method
    assert heading in said.out


@pytest.mark.parametrize(
    ("words", "fragments"),
    [
        ("estimate gpt2 --max-new-tokens 4", ["--max-new-tokens: means nothing here", "task generate"]),
        ("estimate gpt2 --base --num-beams 2", ["--base: means nothing here", "--num-beams: means nothing here"]),
        ("estimate gpt2 --task generate --optim sgd --data x.jsonl", ["--optim: means", "--data: means"]),
        ("estimate gpt2 --task generate --gpu 2xRTX4090", ["one GPU"]),
        ("estimate gpt2 --task generate --num-beams 0 --cache-implementation huge", ["--num-beams", "'huge'"]),
    ],
)
def test_keys_of_other_tasks_are_bad_input(cli: Cli, words: str, fragments: list[str]) -> None:
    """Each is named, all at once, and nothing is computed."""
    said = cli(*words.split())
    assert (said.code, said.out, cli.api.asked) == (2, "", {})
    assert all(fragment in said.err for fragment in fragments), said.err
