"""Rows of a data set as a plain file."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from finefit.tables import rows_in
from finefit.worker import fetch
from finefit.world.rows import scan


def written(rows: Any, folder: Path) -> Path:
    return folder / fetch._written(rows, folder, "train", lambda _: None)


def test_rows_with_images_are_parquet_that_plans_read(tmp_path: Path) -> None:
    """The images themselves are in it: the files that they came from may go."""
    datasets, image_module = pytest.importorskip("datasets"), pytest.importorskip("PIL.Image")
    picture = tmp_path / "picture.png"
    image_module.new("RGB", (20, 10)).save(picture)
    said = [{"role": "user", "content": "what?"}, {"role": "assistant", "content": "black"}]
    features = datasets.Features(
        {
            "messages": datasets.List({"role": datasets.Value("string"), "content": datasets.Value("string")}),
            "images": datasets.List(datasets.Image()),
        }
    )
    rows = datasets.Dataset.from_dict({"messages": [said] * 2, "images": [[str(picture)]] * 2}, features=features)
    path = written(rows, tmp_path)
    picture.unlink()
    assert (path.name, scan(path, blind="").shown) == ("train.parquet", (((20, 10),),) * 2)
    (first, _) = [placed.row["images"][0]["bytes"] for placed in rows_in(path)]
    assert image_module.open(io.BytesIO(first)).size == (20, 10)


def test_rows_are_lines_of_json_as_datasets_has_them(tmp_path: Path) -> None:
    """Mixed values too, which Arrow keeps as text."""
    datasets = pytest.importorskip("datasets")
    if not hasattr(datasets, "Json"):
        pytest.skip("this datasets has no column for mixed values")
    mixed = [{"tools": [{"a": 1}, {"b": "ö"}], "n": None}, {"tools": [], "n": 2}]
    columns = {key: [row[key] for row in mixed] for key in mixed[0]}
    rows = datasets.Dataset.from_dict(columns, on_mixed_types="use_json")
    path = written(rows, tmp_path)
    assert [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] == mixed
    assert [each.name for each in tmp_path.iterdir()] == ["train.jsonl"]
