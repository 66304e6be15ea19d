"""Files of prompts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from finefit.errors import BadInput
from finefit.world.questions import read_questions

BLIND = "it sees nothing"
USER, ASSISTANT = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}


def written(folder: Path, *rows: Any) -> Path:
    path = folder / "in.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n")
    return path


@pytest.mark.parametrize(
    ("row", "messages"),
    [
        ({"prompt": "hi"}, [USER]),
        ({"prompt": [USER, ASSISTANT, USER]}, [USER, ASSISTANT, USER]),
        ({"prompt": [USER, ASSISTANT]}, [USER, ASSISTANT]),
        ({"messages": [USER]}, [USER]),
        ({"messages": [USER, ASSISTANT]}, [USER]),
        ({"messages": [USER, ASSISTANT, USER, ASSISTANT]}, [USER, ASSISTANT, USER]),
    ],
)
def test_a_row_is_what_the_model_is_asked(tmp_path: Path, row: dict[str, Any], messages: list[Any]) -> None:
    """The answer that a row of a training file ends with is not shown to the model; it stays in the row."""
    [question] = read_questions(written(tmp_path, "", row), BLIND)
    assert question.messages == messages
    assert question.row == row
    assert question.where.endswith("in.jsonl:2")


@pytest.mark.parametrize(
    ("row", "fragment"),
    [
        ("{", "Expecting"),
        ([1], "not an object"),
        ({"text": "x"}, "neither `prompt` nor `messages`"),
        ({"prompt": 3}, "neither text nor messages"),
        ({"messages": [ASSISTANT]}, "nothing is asked"),
        ({"prompt": [{"role": "user"}]}, "message 1 has no role and content"),
        ({"prompt": [{"role": "user", "content": ["x"]}]}, "not text"),
        ({"prompt": "x", "answer": "y"}, "`answer` already"),
    ],
)
def test_every_bad_row_is_named(tmp_path: Path, row: Any, fragment: str) -> None:
    """By its line, all of them, before anything is answered."""
    with pytest.raises(BadInput, match=fragment) as bad:
        read_questions(written(tmp_path, {"prompt": "fine"}, row, row), BLIND)
    assert [problem.where.rpartition(":")[2] for problem in bad.value.problems[:2]] == ["2", "3"]
    assert "2 rows cannot" in bad.value.problems[-1].what


def test_any_kind_of_data_file_asks(tmp_path: Path) -> None:
    """A column of a table is a key."""
    table = tmp_path / "in.csv"
    table.write_text("prompt\nhi\n")
    assert [question.messages for question in read_questions(table, BLIND)] == [[USER]]


def test_a_file_without_rows_asks_nothing(tmp_path: Path) -> None:
    """An empty file, or none."""
    for path in (written(tmp_path), tmp_path / "none.jsonl"):
        with pytest.raises(BadInput):
            read_questions(path, BLIND)
