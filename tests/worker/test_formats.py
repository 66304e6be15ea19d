"""One conversation in every format, as the real trainer's dataset has it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_plan import Heard

from finefit.api import plan_job, train
from finefit.cli.main import run
from finefit.errors import BadInput
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
        told = with_rows(made, check_rows(path).format, {})
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
    chat = {"prompt": [messages[0], asked("w1\nw6")], "completion": [said("w2")]}
    assert tokenised([alpaca]) == tokenised([chat])


def looked_at(rows: Rows, folder: Path, model: Path) -> Any:
    """What `finefit data` is told by the worker."""
    from finefit.lower.rows import rows_orders
    from finefit.worker.data import looked

    path = folder / "looked.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    checked = check_rows(path, on_bad="skip")
    return looked(rows_orders(str(path), checked.format, checked.bad, str(model)))


@pytest.mark.parametrize("name", FORMS)
def test_what_is_looked_at_is_what_is_trained(
    tokenised: Tokenise, name: str, tmp_path: Path, model_folder: Path
) -> None:
    """Lengths and trained tokens of `finefit data` are those of the run's trainer, bad rows left out; examples are the
    rows, their trained pieces marked; a right template passes every check."""
    rows = [FORMS[name](*each) for each in zip(ASKED, SAID, strict=True)]
    ids, labels = tokenised(rows)
    told = looked_at([rows[0], {"x": 1}, *rows[1:]], tmp_path, model_folder)
    trained = [sum(label != -100 for label in each) for each in labels]
    assert told["lengths"] == [[len(each), count] for each, count in zip(ids, trained, strict=True)]
    assert [check for check in told["checks"] if not check["is_right"]] == []
    first = next(one for one in told["examples"] if one["row"] == 0)
    text = " ".join(piece["text"] for piece in first["pieces"]).split()
    assert text == ["<user>", *ASKED[0].split(), "<answer>", *SAID[0].split(), "<end>"]
    marked = " ".join(piece["text"] for piece in first["pieces"] if piece["is_trained"]).split()
    assert marked == (text if name == "text" else [*SAID[0].split(), "<end>"])


STOPS = "{{ message['content'] + ' <end>' }}{% endgeneration %}"
WRONG: dict[str, tuple[Callable[[str], str | None], str]] = {
    "there is none": (lambda _: None, "the tokenizer has no chat template"),
    "TRL cannot mark its answers": (lambda _: "{{ messages[0]['content'] }}", "chat template"),
    "the end is not trained": (
        lambda right: right.replace(STOPS, "{{ message['content'] }}{% endgeneration %}{{ ' <end>' }}"),
        "ends nothing",
    ),
    "turns depend on what follows": (
        lambda right: "{{ 'w' + (messages | length) | string + ' ' }}" + right,
        "two turns are no beginning",
    ),
    "answers stand elsewhere": (
        lambda right: right + "{{ ' <answer> ' if add_generation_prompt else '' }}",
        "generation prompt",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_template_is_told(name: str, tmp_path: Path, model_folder: Path) -> None:
    """Each way in which a chat template spoils training fails a check that says so."""
    from transformers import AutoTokenizer

    spoil, fragment = WRONG[name]
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    tokenizer.chat_template = spoil(tokenizer.chat_template)
    tokenizer.save_pretrained(tmp_path / "model")
    told = looked_at([FORMS["messages"]("w1", "w2")], tmp_path, tmp_path / "model")
    wrong = [check["why"] for check in told["checks"] if not check["is_right"]]
    assert any(fragment in why for why in wrong), told["checks"]


def test_a_file_is_told_with_a_model(model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole command: bad rows by their lines, examples by theirs, and rows that are too long."""
    rows = [FORMS["prompt/completion"](*each) for each in zip(ASKED, SAID, strict=True)]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(["x", *(json.dumps(row) for row in rows)]))
    assert run(["data", str(path), "--model", str(model_folder), "--max-length", "7", "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert [bad["number"] for bad in told["bad"]] == [1]
    tokens = [2 + len(a.split()) + len(b.split()) + 1 for a, b in zip(ASKED, SAID, strict=True)]
    assert told["tokens"]["total"] == sum(tokens)
    assert told["trained_tokens"] == sum(len(text.split()) + 1 for text in SAID)
    assert told["over"] == [f"{path}:{line}" for line, length in enumerate(tokens, 2) if length > 7]
    assert {example["where"] for example in told["examples"]} == {f"{path}:{line}" for line in (2, 3, 4)}
    assert "chat template" in told["counted"]


def test_skipped_rows_are_named_and_all_others_trained(model_folder: Path, tmp_path: Path) -> None:
    """on_bad_row: skip trains on every row but the bad ones, which the plan names and the receipt counts; stop names
    them and trains on none."""
    rows = [FORMS["instruction (Alpaca)"](f"w{n} w2", f"w{n + 1} w3 w4") for n in range(6)]
    lines = [json.dumps(row) for row in rows]
    lines[2:2] = ['{"instruction": "w1"}', json.dumps(FORMS["text"]("w1", "w2"))]
    (tmp_path / "rows.json").write_text("[" + ",\n".join(lines) + "]")
    held_out = "instruction,output\nw1,w2\nw3\nw4,w5\n"
    (tmp_path / "held.csv").write_text(held_out)
    wishes = {"model": str(model_folder), "data": "rows.json", "eval_data": "held.csv", "gpu": "cpu"}
    job = tmp_path / "job.yaml"
    job.write_text(json.dumps(wishes | {"global_batch_size": 2, "output_dir": "run"}))
    with pytest.raises(BadInput, match=r"rows\.json:3: there is no `output`"):
        plan_job(str(job), {}, Heard())
    receipt = train(str(job), {"on-bad-row": "skip"}, False, Heard())
    assert (receipt.rows, receipt.rows_left_out) == (6, 3)
    named = [note for note in receipt.notes if "left out, as on_bad_row says" in note]
    assert len(named) == 2
    assert all(f"rows.json:{line}: " in named[0] for line in (3, 4))
    assert "held.csv:3: 1 values" in named[1]
    assert any("instruction (Alpaca): as a message of the user" in note for note in receipt.notes)
    events = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    loaded, done = (next(each for each in events if each["event"] == name) for name in ("loaded", "done"))
    assert (loaded["rows"], loaded["eval_rows"]) == (6, 2)
    marks = 3  # <user>, <answer> and <end>
    assert done["tokens"] == sum(marks + 2 + 3 for _ in rows)
