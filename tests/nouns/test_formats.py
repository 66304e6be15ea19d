"""What is read of a row."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from finefit.nouns.formats import FORMATS, recognised


def message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


READ: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        {"instruction": "Add.", "input": "1 2", "output": "3", "text": "Below is an instruction…"},
        {"prompt": [message("user", "Add.\n1 2")], "completion": [message("assistant", "3")]},
    ),
    (
        {"instruction": "Add.", "input": "", "output": "3", "system": "Brief."},
        {
            "prompt": [message("system", "Brief."), message("user", "Add.")],
            "completion": [message("assistant", "3")],
        },
    ),
    (
        {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}], "id": 7},
        {"messages": [message("user", "a"), message("assistant", "b")]},
    ),
    (
        {"conversations": [{"from": "observation", "value": "a"}, {"from": "gpt", "value": "b"}], "system": "s"},
        {"messages": [message("system", "s"), message("tool", "a"), message("assistant", "b")]},
    ),
    ({"prompt": "a", "completion": " b", "id": 7}, {"prompt": "a", "completion": " b"}),
    ({"text": "a", "meta": {}}, {"text": "a"}),
    (
        {"messages": [{**message("assistant", "b"), "name": None}], "prompt": "a", "prompt_id": 7},
        {"messages": [message("assistant", "b")]},
    ),
    ({"chosen": "a b", "rejected": "a c", "prompt": None}, {"chosen": "a b", "rejected": "a c"}),
]


@pytest.mark.parametrize(("row", "columns"), READ, ids=range(len(READ)))
def test_a_row_is_read_word_for_word(row: dict[str, Any], columns: dict[str, Any]) -> None:
    """In TRL's columns, with nothing added, stripped or brought along."""
    format = recognised(row)
    assert format is not None
    assert format.wrong(row, "") == ""
    assert format.columns(row) == columns
    text = "".join(one.text for one in format.said(row))
    assert all(word in text for value in columns.values() if isinstance(value, str) for word in value.split()[:1])


def test_names_tell_formats_apart() -> None:
    """Orders name them."""
    assert len({format.name for format in FORMATS}) == len(FORMATS)


TEXT = st.text("ab ", max_size=4)
MESSAGES = st.lists(st.builds(message, st.sampled_from(["user", "assistant"]), st.sampled_from("ab")), max_size=3)


@settings(deadline=None)  # TRL is imported in the first example
@given(st.tuples(TEXT, TEXT) | st.tuples(MESSAGES, MESSAGES))
@example((" a", " b"))
@example(("  a", "  b"))
def test_a_right_pair_has_a_prompt_and_two_answers_for_trl(answers: tuple[Any, Any]) -> None:
    """Where the prompt is not said, TRL's own search finds one in every row that is called right, and two answers that
    differ."""
    data_utils = pytest.importorskip("trl.data_utils")
    row = dict(zip(("chosen", "rejected"), answers, strict=True))
    format = recognised(row)
    assert format is not None
    if format.wrong(row, ""):
        return
    found = data_utils.extract_prompt(row)
    assert found["prompt"]
    assert found["chosen"] != found["rejected"]
    assert all(found[key] for key in row)
    assert all(found["prompt"] + found[key] == row[key] for key in row)
