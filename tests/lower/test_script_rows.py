"""What a standalone script reads of a file, beside what finefit does."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from finefit.lower.script_rows import definitions, imports, reader_of
from finefit.nouns.formats import FORMATS, Format
from finefit.nouns.formats.sharegpt import SPEAKERS
from finefit.tables import rows_in

Rows = list[dict[str, Any]]
MORE: dict[str, Rows] = {
    "instruction (Alpaca)": [
        {"instruction": "add", "input": "1, 2", "output": "3", "system": "be brief"},
        {"instruction": "2021-05-01", "input": "", "output": "a date", "system": ""},
    ],
    "conversations (ShareGPT)": [
        {"conversations": [{"from": speaker, "value": f"of {speaker}"}], "system": None} for speaker in SPEAKERS
    ],
    "text": [{"text": "two\nlines \u2028 and “more”", "title": "not read"}],
}


def _lines(path: Path, rows: Rows) -> None:
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n\n")


def _array(path: Path, rows: Rows) -> None:
    path.write_text(json.dumps(rows, indent=1))


def _parquet(path: Path, rows: Rows) -> None:
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)


def _csv(path: Path, rows: Rows) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        written = csv.writer(file)
        written.writerow(f" {name}" for name in names)
        file.write("\r\n")
        written.writerows([row.get(name) or "" for name in names] for row in rows)


KINDS: dict[str, Callable[[Path, Rows], None]] = {
    "rows.jsonl": _lines,
    "rows.txt": _lines,
    "rows.json": _array,
    "lines.json": _lines,
    "ROWS.CSV": _csv,
    "rows.parquet": _parquet,
}


def _rows_of(format: Format) -> Rows:
    return [json.loads(format.example), *MORE.get(format.name, [])]


def _is_text(rows: Rows) -> bool:
    """As CSV is."""
    return all(isinstance(value, str | None) for row in rows for value in row.values())


@pytest.mark.parametrize(
    ("format", "name"),
    [(format, name) for format in FORMATS for name in KINDS if KINDS[name] is not _csv or _is_text(_rows_of(format))],
    ids=lambda value: value.name if isinstance(value, Format) else value,
)
def test_a_script_reads_what_finefit_reads(format: Format, name: str, tmp_path: Path) -> None:
    """Of every format, in every kind of file."""
    rows, path = _rows_of(format), tmp_path / name
    KINDS[name](path, rows)
    data = {"train": str(path), "eval": None, "format": format.name}
    script: dict[str, Any] = {"Path": Path}
    exec("\n".join([*imports(data), definitions(data, is_dpo=False)]), script)
    read = [script["columns"](row) for row in script[reader_of(str(path))](path)]
    assert read == [format.columns(placed.row) for placed in rows_in(path)]
    assert len(read) == len(rows)


def test_two_kinds_of_files_have_two_readers() -> None:
    data = {"train": "a.csv", "eval": "b.parquet", "format": "text"}
    text = definitions(data, is_dpo=False)
    assert text.count("def read_") == 2
    assert imports(data) == {"import csv", "from pyarrow import parquet"}
