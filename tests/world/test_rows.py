"""Data files, row by row."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finefit.errors import BadInput
from finefit.nouns.formats import FORMATS
from finefit.nouns.formats.turns import ROLES
from finefit.world.rows import check_rows, format_of, scan

GOOD = '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}'


def row(*messages: object, **more: object) -> str:
    return json.dumps({"messages": list(messages), **more})


def said(content: object, role: object = "assistant") -> dict[str, object]:
    return {"role": role, "content": content}


def chat(prompt: object, completion: object) -> str:
    return json.dumps({"prompt": prompt, "completion": completion})


BAD = [
    ("", "", "no rows in this file"),
    ("not json", "not JSON", ""),
    ('{"messages": [', "not JSON", ""),
    ("[" + GOOD + "]", "a list, not an object", "JSON array is not JSONL"),
    ("[", "not JSON", "JSON array is not JSONL"),
    ('"text"', "text, not an object", ""),
    ("7", "a number, not an object", ""),
    ("null", "null, not an object", ""),
    ("{}", "no `messages`", "a row without keys"),
    ('{"question": "a", "answer": "b"}', "no format is known by the keys `question`, `answer`", "`completion`"),
    ('{"conversation": []}', "no `messages`", "ShareGPT"),
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
    ('{"prompt": "a"}', "there is `prompt` without `completion`", ""),
    ('{"completion": "a"}', "there is `completion` without `prompt`", ""),
    ('{"prompt": "a", "completion": " "}', "`completion` is empty", ""),
    ('{"prompt": 3, "completion": "a"}', "`prompt` is a number, not text", ""),
    ('{"prompt": "a", "completion": "b", "label": false}', "has `label`", "KTO"),
    (chat("a", [said("b")]), "`prompt` is text and `completion` is a list", "both are messages"),
    (chat([said("a", "user")], []), "`completion` is empty", ""),
    (chat([said("a", "user")], [said("b"), {"role": "assistant"}]), "message 2 of `completion` has no `content`", ""),
    (chat([said("a", "user"), said("b")], [said("c")]), "`prompt` ends with a message of the assistant", ""),
    (chat([said("a", "user")], [said("b"), said("c", "user")]), "`completion` has a message of the user", ""),
    (chat([said([{"type": "text", "text": "a"}], "user")], [said("b")]), "content in parts is for images", ""),
    ('{"instruction": "a"}', "there is no `output`", ""),
    ('{"instruction": "a", "output": ""}', "`output` is empty", ""),
    ('{"instruction": "a", "input": 3, "output": "b"}', "`input` is a number, not text", ""),
    ('{"instruction": "a", "output": "b", "history": [["c", "d"]]}', "has `history`", "turns"),
    ('{"conversations": []}', "`conversations` is empty", ""),
    ('{"conversations": [{"from": "gpt"}]}', "message 1 has no `value`", ""),
    ('{"conversations": [{"role": "user", "content": "a"}]}', "has no `from`", "belong in `messages`"),
    ('{"conversations": [{"from": "robot", "value": "a"}]}', 'is from "robot", not one of system, human', ""),
    ('{"conversations": [{"from": "human", "value": "a"}]}', "no message of the assistant", ""),
    ('{"conversations": [{"from": "gpt", "value": "a", "weight": 0}]}', "message 1 has `weight`", ""),
    ('{"system": "a", "conversations": [{"from": "system", "value": "b"}]}', "which of them counts", ""),
    ('{"text": ["a"]}', "`text` is a list, not text", ""),
    ('{"text": ""}', "`text` is empty", ""),
    ('{"text": "a", "images": ["x.png"]}', "images go with `messages` alone", ""),
]

PAIR = {"chosen": [said("a", "user"), said("b")], "rejected": [said("a", "user"), said("c")]}
BAD_PAIRS = [
    ({"chosen": "a"}, "there is `chosen` without `rejected`"),
    ({"prompt": "a", "rejected": "b"}, "there is `rejected` without `chosen`"),
    ({"prompt": "a", "chosen": "b", "rejected": "b"}, "are the same: nothing is preferred"),
    ({"prompt": "a", "chosen": "b", "rejected": ""}, "`rejected` is empty"),
    ({"chosen": "xa", "rejected": "b"}, "there is no prompt: `chosen` and `rejected` begin differently"),
    ({"chosen": [said("b")], "rejected": [said("c")]}, "there is no prompt"),
    ({"chosen": "a b c", "rejected": "a b"}, "`rejected` has nothing after the prompt"),
    (PAIR | {"rejected": "c"}, "`rejected` is text and `chosen` is a list"),
    (PAIR | {"rejected": PAIR["chosen"][:1]}, "`rejected` has nothing after the prompt"),
    (PAIR | {"rejected": [said("a", "user"), said("c", "user")]}, "`rejected` ends with a message of the user"),
    (PAIR | {"prompt": []}, "`prompt` is empty"),
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


@pytest.mark.parametrize(("pair", "fragment"), BAD_PAIRS, ids=range(len(BAD_PAIRS)))
def test_a_bad_pair_is_named(tmp_path: Path, pair: dict[str, object], fragment: str) -> None:
    """Pairs of answers are checked as all rows are."""
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(pair))
    [bad] = scan(file).left_out
    assert fragment in bad.reason


EXAMPLES = {format.name: json.loads(format.example) for format in FORMATS}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_formats_own_example_is_a_row_of_it(tmp_path: Path, name: str) -> None:
    """What a message tells the user to write is right; pairs are for preferences, and nothing else is."""
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(EXAMPLES[name] | {"id": 3, "tools": None}))
    scanned = scan(file)
    assert (scanned.format.name, scanned.left_out, scanned.unread) == (name, (), ("id",))
    is_pairs = scanned.format.trained == "pairs"
    assert check_rows(file, task="dpo" if is_pairs else "sft") == scanned
    with pytest.raises(BadInput, match="pairs are for task dpo" if is_pairs else "task dpo trains on pairs"):
        check_rows(file, task="sft" if is_pairs else "dpo")


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_file_that_was_checked_has_its_first_good_rows_format(tmp_path: Path, name: str) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(["{}", json.dumps(EXAMPLES[name])]))
    assert format_of(file).name == scan(file).format.name == name


@pytest.mark.parametrize("first", EXAMPLES)
@pytest.mark.parametrize("other", EXAMPLES)
def test_a_file_has_one_format(tmp_path: Path, first: str, other: str) -> None:
    """The first row decides; a row of another format is bad."""
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(["{}", *(json.dumps(EXAMPLES[name]) for name in (first, other))]))
    scanned = scan(file)
    assert scanned.format.name == first
    assert scanned.lines == ((2, 3) if first == other else (2,))
    if first != other:
        assert scanned.left_out[1].reason == f"the row is {other}, and the first one is {first}: a file has one format"


@given(st.lists(st.sampled_from(["good", *(text for text, *_ in BAD[1:])]), min_size=1, max_size=8))
def test_exactly_the_planted_rows_are_bad(tmp_path_factory: pytest.TempPathFactory, rows: list[str]) -> None:
    """A scan names each bad row and no other, wherever it stands; skipping keeps all others: none is lost."""
    file = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    lines = [GOOD, *(GOOD if row == "good" else row for row in rows)]
    file.write_text("\n".join(lines), encoding="utf-8", errors="surrogatepass")
    planted = [number for number, row in enumerate(rows, 2) if row != "good"]
    scanned = scan(file)
    assert [bad.number for bad in scanned.left_out] == planted
    assert sorted([*scanned.lines, *planted]) == list(range(1, len(lines) + 1))
    assert check_rows(file, on_bad="skip") == scanned


TWO = b'{"prompt": "a", "completion": "b"}'
BROKEN: list[tuple[str, bytes, str, str]] = [
    ("rows.csv", b"", "", "there are no rows in this file"),
    ("rows.csv", b"prompt,completion\n", "", "there are no rows in this file"),
    ("rows.csv", b"prompt,completion\na\n", ":2", "1 values, and the first line names 2 columns"),
    ("rows.csv", b"prompt,completion\na,b\nc,d,e\n", ":3", "3 values, and the first line names 2 columns"),
    ("rows.csv", b'prompt,completion\n"a\nb",c\nd\n', ":4", "1 values"),
    ("rows.csv", b'prompt,completion\na,"b\n', ":2", "not CSV: unexpected end of data"),
    ("rows.csv", b'prompt,completion\na,"b"c\nd,e\n', ":2", "not CSV: "),
    ("rows.csv", b"prompt,completion\na,\xe4\n", ":2", "`completion` has bytes that are not UTF-8"),
    ("rows.csv", b"prompt,prompt\na,b\n", ":1", "the column `prompt` is there twice"),
    ("rows.csv", b"question,answer\na,b\n", ":2", "no format is known by the keys `question`, `answer`"),
    ("rows.csv", b"prompt,completion\na,\n", ":2", "`completion` is empty"),
    ("rows.csv", b"messages\n[]\n", ":2", "`messages` is text, not a list"),
    ("rows.json", b"", "", "there are no rows in this file"),
    ("rows.json", b"[]", "", "there are no rows in this file"),
    ("rows.json", b"[" + TWO + b",\n3]", ":2", "the row is a number, not an object"),
    ("rows.json", b"[" + TWO + b",\n{]", ":2", "not JSON: "),
    ("rows.json", b"[" + TWO + b"\n" + TWO + b"]", ":2", "neither a comma nor the end of the array"),
    ("rows.json", b"[" + TWO + b"]\n" + TWO, ":2", "something follows the array"),
    ("rows.json", b'[\n{"prompt": "a", "prompt": "b"}]', ":2", "the key `prompt` is there twice"),
    ("rows.json", b"[" + TWO + b",\n\xe4]", ":2", "is not UTF-8"),
    ("rows.json", b'{"data": [\n' + TWO + b"]}", ":1", "the file is one object (with `data`)"),
    ("rows.parquet", b"", "", "cannot be read as Parquet"),
    ("rows.parquet", b"PAR1 and no more PAR1", "", "cannot be read as Parquet"),
    ("rows.xlsx", b"PK", "", ".xlsx is not read"),
    ("rows.jsonl.gz", b"", "", ".gz is not read"),
]


@pytest.mark.parametrize(("name", "raw", "line", "fragment"), BROKEN, ids=range(len(BROKEN)))
def test_a_broken_file_gets_its_message(tmp_path: Path, name: str, raw: bytes, line: str, fragment: str) -> None:
    """Of every kind, and by the line where it is broken."""
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(BadInput) as caught:
        check_rows(tmp_path / name)
    first = caught.value.problems[0]
    assert first.where == f"{tmp_path / name}{line}"
    assert fragment in first.what


def test_a_bad_row_of_parquet_is_named_by_its_number(tmp_path: Path) -> None:
    """It has no lines; what Arrow fills up is no value, and lists of messages are what they are elsewhere."""
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    good = [json.loads(GOOD)] * 1500
    rows = [*good, {"messages": [], "images": None}, *good, {"messages": None}, *good]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "rows.parquet")
    scanned = scan(tmp_path / "rows.parquet")
    assert [bad.where for bad in scanned.left_out] == [f"{tmp_path}/rows.parquet: row {n}" for n in (1501, 3002)]
    assert scanned.rows == len(rows) - 2


def test_without_pyarrow_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, with what to install, and only where a file is Parquet."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "rows.parquet").write_bytes(b"")
    (tmp_path / "rows.jsonl").write_text(GOOD)
    assert check_rows(tmp_path / "rows.jsonl").rows == 1
    with pytest.raises(BadInput, match="pyarrow is not installed"):
        check_rows(tmp_path / "rows.parquet")


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
