"""Rows of every kind of file, each with its place."""

from __future__ import annotations

import csv
import json
import tracemalloc
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finefit.errors import BadInput
from finefit.tables import place, rows_in
from finefit.tables.rows import READERS

Rows = list[dict[str, str]]
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=12)
ROWS = st.lists(st.fixed_dictionaries({"prompt": TEXT, "completion": TEXT}), min_size=1, max_size=5)


def write(path: Path, rows: Rows) -> list[int]:
    """In the kind of its name; the number of each row."""
    match path.suffix:
        case ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n\n" for row in rows))
            return [1 + 2 * place for place in range(len(rows))]
        case ".json":
            path.write_text(json.dumps(rows, indent=1, ensure_ascii=False), encoding="utf-8", newline="")
            return [2 + 4 * place for place in range(len(rows))]
        case ".csv":
            return write_csv(path, rows)
        case _:
            return write_parquet(path, rows)


def write_csv(path: Path, rows: Rows) -> list[int]:
    numbers, line = [], 2
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, ["prompt", "completion"], quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            numbers.append(line)
            line += 1 + sum(value.count("\n") for value in row.values())
            writer.writerow(row)
    return numbers


def write_parquet(path: Path, rows: Rows) -> list[int]:
    pyarrow = pytest.importorskip("pyarrow")
    parquet: Any = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return list(range(1, len(rows) + 1))


@pytest.mark.parametrize("suffix", READERS)
@settings(deadline=None)  # pyarrow is imported in the first example
@given(rows=ROWS)
def test_every_kind_of_file_gives_the_same_rows(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, rows: Rows
) -> None:
    """Whatever text they hold, new lines and quotation marks too; each with the line on which it begins."""
    path = tmp_path_factory.mktemp("rows") / f"rows{suffix}"
    numbers = write(path, rows)
    placed = list(rows_in(path))
    assert [one.row for one in placed] == rows
    assert [one.number for one in placed] == numbers
    assert not any(one.wrong for one in placed)


def test_json_may_be_lines(tmp_path: Path) -> None:
    """A .json file without an array around its rows is read as the same file named .jsonl."""
    text = '{"a": 1}\n\n{"a": 2}\nx\n'
    for name in ("a.json", "a.jsonl"):
        (tmp_path / name).write_text(text)
    assert list(rows_in(tmp_path / "a.json")) == list(rows_in(tmp_path / "a.jsonl"))


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_a_file_is_never_in_memory(tmp_path: Path, suffix: str) -> None:
    """However many rows there are, only the one that is read is."""
    path = tmp_path / f"rows{suffix}"
    write(path, [{"prompt": "x" * 900, "completion": "y" * 100}] * 4000)
    tracemalloc.start()
    count = sum(1 for _ in rows_in(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 4000
    assert peak < path.stat().st_size / 8


def test_places_are_said_as_people_find_them() -> None:
    """A line, or a row where there are no lines."""
    assert place("a/rows.csv", 7) == "a/rows.csv:7"
    assert place("rows.parquet", 7) == "rows.parquet: row 7"


@settings(deadline=None)
@given(st.binary(max_size=200))
@pytest.mark.parametrize("suffix", READERS)
def test_any_bytes_are_rows_or_bad_input(tmp_path_factory: pytest.TempPathFactory, suffix: str, raw: bytes) -> None:
    """No file crashes its reader, or goes on forever."""
    path = tmp_path_factory.mktemp("rows") / f"rows{suffix}"
    path.write_bytes(raw)
    with suppress(BadInput):
        assert len(list(rows_in(path))) <= len(raw)
