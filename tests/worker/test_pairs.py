"""Pairs of a file: how long they are, which come first, what a plan says of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from pair_rows import BOTH, LONGEST_TOKENS, ROWS, written
from test_plan import Heard
from transformers import AutoTokenizer

from finefit.api import plan_job
from finefit.lower.rows import rows_orders
from finefit.nouns.plan import Plan
from finefit.worker import pairs
from finefit.worker.data import looked
from finefit.worker.shorter import shorter_rows
from finefit.world.rows import check_rows

LENGTHS = st.tuples(*(st.integers(1, 90) for _ in range(3)))


def pair(prompt: int, chosen: int, rejected: int) -> dict[str, list[int]]:
    return dict(
        zip((pairs.PROMPT, pairs.CHOSEN, pairs.REJECTED), ([1] * n for n in (prompt, chosen, rejected)), strict=True)
    )


@given(st.lists(LENGTHS, min_size=1, max_size=12), st.integers(1, 3))
def test_the_fullest_pair_is_the_longest_that_has_a_mask(lengths: list[tuple[int, int, int]], micro_batch: int) -> None:
    """Two answers of one length have none, where no other pair pads them: the longest of these is told beside."""
    rows = Dataset.from_list([pair(*each) for each in lengths])
    longest = [prompt + max(both) for prompt, *both in lengths]
    assert pairs.lengths_of(rows) == longest
    by = pairs.fullness(rows, micro_batch)
    first = by.index(max(by))
    masked = [row for row, (_, chosen, rejected) in enumerate(lengths) if micro_batch > 1 or chosen != rejected]
    assert longest[first] == max(longest[row] for row in masked or range(len(lengths)))
    [rival] = pairs.longest_alike(rows, [first], micro_batch) or [first]
    if micro_batch == 1:
        assert longest[rival] == max(longest)


@given(st.lists(LENGTHS, min_size=1, max_size=4))
def test_shorter_pairs_are_padded_as_these_are(lengths: list[tuple[int, int, int]]) -> None:
    """What was shorter than the longest sequence is so still, and each pair has a prompt and two answers."""
    rows = [pair(*each) for each in lengths]
    longest = max(map(pairs.length_of, rows))
    for shorter in shorter_rows(rows):
        now = max(map(pairs.length_of, shorter))
        assert now < longest
        assert (now % 16 == 0) == (longest % 16 == 0)
        for before, after in zip(rows, shorter, strict=True):
            assert all(after[name] for name in (pairs.PROMPT, pairs.CHOSEN, pairs.REJECTED))
            was = [len(before[pairs.PROMPT]) + len(before[name]) < longest for name in (pairs.CHOSEN, pairs.REJECTED)]
            found = [len(after[pairs.PROMPT]) + len(after[name]) < now for name in (pairs.CHOSEN, pairs.REJECTED)]
            assert found == was


@pytest.fixture(scope="module")
def job(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("job")
    written(folder / "pairs.jsonl", ROWS)
    wishes = {"model": str(model_folder), "data": "pairs.jsonl", "task": "dpo", "global_batch_size": 4}
    wishes |= {"per_device_train_batch_size": 2, "num_train_epochs": 4.0, "gradient_checkpointing": "all"}
    (folder / "job.yaml").write_text(json.dumps(wishes))
    return folder / "job.yaml"


def test_a_plan_for_a_gpu_replays_its_own_pairs(job: Path) -> None:
    """In the run's own order, each at its length; what the reference takes is a phase of it."""
    plan = plan_job(str(job), {"gpu": "RTX4090"}, Heard())
    assert isinstance(plan, Plan)
    assert (plan.steps, plan.knobs.max_length) == (16, LONGEST_TOKENS)
    assert plan.ledger.reserved is not None
    assert "were replayed, in this run's own order" in plan.ledger.reserved.reasons[0].why
    assert "reference" in plan.ledger.phases
    assert plan.orders["task"] == {"name": "dpo", "reference": "adapter_off", "quantization": None}
    assert (plan.orders["trainer"]["beta"], plan.orders["trainer"]["learning_rate"]) == (0.1, 5e-6)


def looked_at(path: Path, model: Path) -> dict[str, Any]:
    checked = check_rows(path, task="dpo")
    return looked(rows_orders(str(path), checked.format, checked.left_out, str(model)))


def test_what_is_looked_at_is_what_is_planned(job: Path, model_folder: Path) -> None:
    """`finefit data` counts the tokens of pairs as TRL's trainer does, and shows both answers; its checks are right."""
    path = job.with_name("pairs.jsonl")
    told = looked_at(path, model_folder)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    words = [[len(row["prompt"][0]["content"].split()), *(said(row, key) for key in BOTH)] for row in rows]
    assert told["lengths"] == [[prompt + 2 + max(both) + 1, sum(both) + 2] for prompt, *both in words]
    assert max(tokens for tokens, _ in told["lengths"]) == LONGEST_TOKENS
    assert [check["is_right"] for check in told["checks"]] == [True] * 3
    [first, *_] = told["examples"]
    assert [piece["is_trained"] for piece in first["pieces"]] == [False, True, False, True]


ASKED = [{"role": "user", "content": "w1 w2"}]
ANSWERS = {key: [{"role": "assistant", "content": text}] for key, text in zip(BOTH, ("w3 w4", "w5"), strict=True)}
FORMS: dict[str, dict[str, Any]] = {
    "messages": {"prompt": ASKED, **ANSWERS},
    "messages, the prompt in both": {key: ASKED + answer for key, answer in ANSWERS.items()},
    "text": {"prompt": "w1 w2", "chosen": " w3 w4", "rejected": " w5"},
    "text, the prompt in both": {"chosen": "w1 w2 w3 w4", "rejected": "w1 w2 w5"},
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_pairs_is_read(model_folder: Path, tmp_path: Path, form: str) -> None:
    """A prompt beside the answers, and one that both begin with, have the same tokens; text ends as messages do. Where
    both answers begin with the same letter, TRL takes it for the prompt's, and a check says so."""
    (tmp_path / "rows.jsonl").write_text(json.dumps(FORMS[form]))
    told = looked_at(tmp_path / "rows.jsonl", model_folder)
    marks = 2 if form.startswith("messages") else 0  # <user> and <answer>
    assert told["lengths"] == [[marks + 2 + 2 + 1, 2 + 1 + 1 + 1]]
    splits = form == "text, the prompt in both"
    assert [check["is_right"] for check in told["checks"]] == [not splits, True, True]
    pieces = [piece["text"].split() for piece in told["examples"][0]["pieces"]]
    assert [pieces[1], pieces[3]] == [["w3", "w4", "<end>"], ["w5", "<end>"]]


def said(row: dict[str, Any], key: str) -> int:
    return len(row[key][0]["content"].split())


def test_what_spoils_pairs_is_told(model_folder: Path, tmp_path: Path) -> None:
    """Answers that do not end, and two with the same tokens; where there is no chat template, no pair is written."""
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    row = json.loads(written(tmp_path / "rows.jsonl", 3).read_text().splitlines()[0])
    row["rejected"] = [{"role": "assistant", "content": row["chosen"][0]["content"] + "  "}]
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    found = {}
    for name, template in (("endless", tokenizer.chat_template.replace("+ ' <end>'", "")), ("none", None)):
        tokenizer.chat_template = template
        tokenizer.save_pretrained(tmp_path / name)
        checks = looked_at(tmp_path / "rows.jsonl", tmp_path / name)["checks"]
        found[name] = [check["why"].split(":")[0] for check in checks if not check["is_right"]]
    same, ends = "in 1 of 1 rows both have the same tokens", "the last trained token of 2 of 2 answers ends nothing"
    assert found["endless"] == [same, ends]
    assert found["none"] == ["the tokenizer has no chat template, and these rows are conversations"]
