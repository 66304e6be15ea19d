"""One conversation in every format, as the real trainer's dataset has it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finefit.lower.rows import with_rows
from finefit.world.rows import check_rows

ASKED = ["w1 w2", "w3 w4 w5", "w6"]
SAID = ["w7", "w8 w9", "w10 w11 w12"]

Rows = list[dict[str, Any]]
Tokens = tuple[list[list[int]], list[list[int]]]
Tokenise = Callable[..., Tokens]


def asked(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


FORMS: dict[str, Callable[[str, str], dict[str, Any]]] = {
    "messages": lambda a, b: {"messages": [asked(a), said(b)]},
    "conversations (ShareGPT)": lambda a, b: {
        "conversations": [{"from": "human", "value": a}, {"from": "gpt", "value": b}]
    },
    "prompt/completion messages": lambda a, b: {"prompt": [asked(a)], "completion": [said(b)]},
    "instruction (Alpaca)": lambda a, b: {"instruction": a, "input": "", "output": b, "text": "w20"},
    "prompt/completion": lambda a, b: {"prompt": f"<user> {a} <answer> ", "completion": b},
    "text": lambda a, b: {"text": f"<user> {a} <answer> {b}"},
}


@pytest.fixture
def tokenised(orders: Callable[..., dict[str, Any]], model_folder: Path, tmp_path: Path) -> Tokenise:
    """Ids and labels that a run's trainer makes of rows."""
    from transformers import AutoTokenizer, LlamaForCausalLM
    from trl import SFTConfig

    from finefit.worker.rows import dataset_of
    from finefit.worker.stage import Stage
    from finefit.worker.trainer import Trainer

    model = LlamaForCausalLM.from_pretrained(model_folder)

    def make(rows: Rows, assistant_only: bool = True) -> Tokens:
        path = tmp_path / "rows.jsonl"
        path.write_text("\n\n".join(json.dumps(row) for row in rows))
        made = orders(data={"train": str(path), "eval": None}, assistant_only_loss=assistant_only)
        told = with_rows(made, check_rows(path).format)
        trainer = Trainer(
            model=model,
            args=SFTConfig(output_dir=str(tmp_path / "out"), **told["trainer"]),
            train_dataset=dataset_of(told["data"], "train"),
            processing_class=AutoTokenizer.from_pretrained(model_folder),
            stage=Stage(),
        )
        return list(trainer.train_dataset["input_ids"]), list(trainer.train_dataset["labels"])

    return make


def test_one_conversation_is_the_same_in_every_format(tokenised: Tokenise) -> None:
    """Whatever format says it, the tokens are the same; what is trained is the answer with its end, or in plain text
    every token."""
    made = {name: tokenised([form(*each) for each in zip(ASKED, SAID, strict=True)]) for name, form in FORMS.items()}
    ids, labels = made["messages"]
    assert len(ids) == len(ASKED)
    answers = [len(text.split()) + 1 for text in SAID]
    assert labels == [[-100] * (len(row) - n) + row[-n:] for row, n in zip(ids, answers, strict=True)]
    assert made.pop("text") == (ids, ids)
    assert all(each == (ids, labels) for each in made.values())


def test_turns_and_systems_are_the_same_in_both_formats(tokenised: Tokenise) -> None:
    """Of several turns all answers are trained, or all tokens where the job says so; an Alpaca row's system is one."""
    messages = [{"role": "system", "content": "w30"}, asked("w1"), said("w2"), asked("w3"), said("w4 w5")]
    speakers = {"system": "system", "user": "human", "assistant": "gpt"}
    turns = [{"from": speakers[one["role"]], "value": one["content"]} for one in messages]
    formats: list[Rows] = [[{"messages": messages}], [{"conversations": turns}]]
    formats.append([{"system": "w30", "conversations": turns[1:]}])
    for assistant_only in (True, False):
        first, *others = (tokenised(rows, assistant_only) for rows in formats)
        assert all(other == first for other in others)
        assert (first[0] == first[1]) is not assistant_only
    alpaca = {"instruction": "w1", "input": "w6", "output": "w2", "system": "w30"}
    chat = {"prompt": [messages[0], asked("w1\n\nw6")], "completion": [said("w2")]}
    assert tokenised([alpaca]) == tokenised([chat])
