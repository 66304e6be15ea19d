"""A data file as the trainer's dataset: what a row's format reads of it, word for word, in TRL's own columns.

`datasets.load_dataset` guesses types (text that looks like a date becomes one) and brings every other key of a row
along, which TRL may act on. Here a row has the columns of its format and nothing else.

Knows: files that `finefit.world.rows` has checked, and which of their rows are left out: the orders say so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from datasets import Dataset, Features, List, Value

from finefit.errors import RunFailed
from finefit.nouns.formats import MESSAGES, Format, named
from finefit.tables import Placed, place, rows_in

Which = Literal["train", "eval"]

MESSAGE = {"role": Value("string"), "content": Value("string")}
PART = {"type": Value("string"), "text": Value("string")}
SPELT = {"role": Value("string"), "content": List(PART)}
IN_PARTS = Features({"messages": List(SPELT)})


def dataset_of(data: Mapping[str, Any], which: Which) -> Dataset:
    """`data`: of the orders."""
    format = format_of(data)
    rows = [format.columns(placed.row) for placed in placed_rows(data, which)]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    features = Features({name: _feature(values[0]) for name, values in columns.items()})
    return Dataset.from_dict(columns, features=features)


def format_of(data: Mapping[str, Any]) -> Format:
    return named(data.get("format", MESSAGES.name))


def places_of(data: Mapping[str, Any], which: Which = "train") -> list[str]:
    """Where each row of the dataset stands."""
    return [place(data[which], placed.number) for placed in placed_rows(data, which)]


def _feature(value: Any) -> Any:
    return List(MESSAGE) if isinstance(value, list) else Value("string")


def placed_rows(data: Mapping[str, Any], which: Which) -> Iterator[Placed]:
    left_out = frozenset(data.get("left_out", {}).get(which, ()))
    for placed in rows_in(data[which]):
        if placed.number in left_out:
            continue
        if placed.wrong:
            where = place(data[which], placed.number)
            raise RunFailed(f"{where}: {placed.wrong}: the file has changed since it was checked")
        yield placed


def conversations_in_parts(data: Mapping[str, Any], which: Which = "train") -> Dataset:
    """Rows that show images: all content in parts, and a part where each image goes, as TRL's
    `prepare_multimodal_messages` does it. Which image it is, is not said."""
    rows = [list(in_parts(placed.row)) for placed in placed_rows(data, which)]
    return Dataset.from_dict({"messages": rows}, features=IN_PARTS)


def in_parts(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    first = [IMAGE] * (1 if row.get("image") is not None else len(row.get("images") or []))
    for message in row["messages"]:
        content = message["content"]
        if not isinstance(content, str):
            content = [{"type": part["type"], "text": part.get("text")} for part in content]
        elif message["role"] == "user":
            content, first = [*first, _text(content)], []
        else:
            content = [_text(content)]
        yield {"role": message["role"], "content": content}


def put_in_parts(rows: Dataset) -> Dataset:
    """Of text: every message's content as its one part."""
    columns = {name: list(map(_messages_in_parts, rows[name])) for name in rows.column_names}
    kinds = {name: List(SPELT) if isinstance(values[0], list) else Value("string") for name, values in columns.items()}
    return Dataset.from_dict(columns, features=Features(kinds))


def _messages_in_parts(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return [{"role": message["role"], "content": [_text(message["content"])]} for message in value]


IMAGE = {"type": "image", "text": None}


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}
