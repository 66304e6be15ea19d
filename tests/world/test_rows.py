"""Data files, row by row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finefit.errors import BadInput
from finefit.world.rows import ROLES, check_rows

GOOD = '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}'


def row(*messages: object, **more: object) -> str:
    return json.dumps({"messages": list(messages), **more})


def said(content: object, role: object = "assistant") -> dict[str, object]:
    return {"role": role, "content": content}


BAD = [
    ("", "", "no rows in this file"),
    ("not json", "not JSON", ""),
    ('{"messages": [', "not JSON", ""),
    ("[" + GOOD + "]", "a list, not an object", "JSON array is not JSONL"),
    ("[", "not JSON", "JSON array is not JSONL"),
    ('"text"', "text, not an object", ""),
    ("7", "a number, not an object", ""),
    ("null", "null, not an object", ""),
    ("{}", "no `messages`", ""),
    ('{"instruction": "a", "output": "b"}', "no `messages`", "Alpaca"),
    ('{"conversations": []}', "no `messages`", "ShareGPT"),
    ('{"prompt": "a", "completion": "b"}', "no `messages`", "`completion`"),
    ('{"messages": "hello"}', "`messages` is text, not a list", ""),
    ('{"messages": []}', "`messages` is empty", ""),
    (row("hello"), "message 1 is text, not an object", ""),
    (row({"content": "a"}), "message 1 has no `role`", ""),
    (row(said("a", "user"), {"role": "assistant"}), "message 2 has no `content`", ""),
    (row({"from": "gpt", "value": "a"}), "has no `role`", "ShareGPT"),
    (row(said("a", "gpt")), 'the role "gpt", not one of system, user', ""),
    (row(said("a", ["user"])), 'the role ["user"]', ""),
    (row(said(None)), "content of message 1 is null, not text", ""),
    (row(said(3)), "content of message 1 is a number", ""),
    (row(said([{"type": "text", "text": "a"}])), "is a list, not text", "images"),
    (row(said("a", "user")), "no message of the assistant", ""),
    (GOOD.replace("{", '{"messages": [], ', 1), "the key `messages` is there twice", ""),
    (row(said("  ")), "every message of the assistant is empty", ""),
    (row(said("\ud83d")), "half of a surrogate pair", ""),
    (row(said("a") | {"tool_calls": []}), "message 1 has `tool_calls`", "only role and content"),
    (row(said("a"), tools=[{"name": "f"}]), "the row has `tools`", ""),
    ("\ufeff" + GOOD, "byte order mark", ""),
    ("[" * 100_000, "cannot be read as JSON", ""),
]


@pytest.mark.parametrize(("text", "fragment", "other"), BAD, ids=range(len(BAD)))
def test_a_bad_row_is_named_by_line_and_reason(tmp_path: Path, text: str, fragment: str, other: str) -> None:
    """Every way to be no conversation has its own words."""
    file = tmp_path / "rows.jsonl"
    file.write_text(text, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(BadInput) as caught:
        check_rows(file)
    first = str(caught.value.problems[0])
    assert fragment in first
    assert other in first
    assert str(file) in first


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    """A row in another encoding is not guessed at."""
    file = tmp_path / "rows.jsonl"
    file.write_bytes(GOOD.encode() + b"\n" + GOOD.replace("a", "ä").encode("latin-1") + b"\n")
    with pytest.raises(BadInput, match=r"rows\.jsonl:2: byte \d+ of the line is not UTF-8"):
        check_rows(file)


def test_all_bad_rows_are_counted_and_twenty_shown(tmp_path: Path) -> None:
    """A file of a million bad rows gives a page, not a million lines, and the total."""
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(["{}"] * 50 + [GOOD]))
    with pytest.raises(BadInput) as caught:
        check_rows(file)
    assert len(caught.value.problems) == 21
    assert "50 of 51 rows are wrong; the first 20 are named" in str(caught.value)


@pytest.mark.parametrize("name", ["nowhere.jsonl", "."])
def test_a_file_that_cannot_be_read_is_bad_input(tmp_path: Path, name: str) -> None:
    """A missing file or a folder is the user's mistake, said once."""
    with pytest.raises(BadInput, match="cannot be read"):
        check_rows(tmp_path / name)


MESSAGES = st.lists(st.builds(said, st.text(max_size=20), st.sampled_from(ROLES)), max_size=3)


@given(st.lists(st.tuples(MESSAGES, st.integers(0, 2)), min_size=1, max_size=8), st.booleans())
def test_rows_keep_their_lines(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[list[dict[str, object]], int]], escape: bool
) -> None:
    """Blank lines are no rows, and shift no row's number."""
    lines: list[str] = []
    expected = []
    for messages, blanks in drawn:
        lines += [""] * blanks
        expected.append(len(lines) + 1)
        lines.append(json.dumps({"messages": [*messages, said("b")]}, ensure_ascii=escape))
    file = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    file.write_bytes("\n".join(lines).encode("utf-8") + b"\n")
    checked = check_rows(file)
    assert list(checked.lines) == expected
    assert checked.rows == len(drawn)


@given(st.binary(max_size=200))
def test_any_bytes_are_rows_or_bad_input(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    """No file crashes the check."""
    file = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    file.write_bytes(raw)
    with pytest.raises(BadInput):
        check_rows(file)
