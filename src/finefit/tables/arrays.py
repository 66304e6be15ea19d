"""A .json file: an array of objects, each with the line on which it begins, or objects line by line.

An array is read at once, since only its end says that it is one. After a place that is no JSON, what follows cannot be
told apart: that is one bad row, and the last.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from finefit.nouns.kinds import kind

from . import jsonl
from .objects import RepeatedKey, without_repeats
from .placed import Placed

BLANK = re.compile(r"[ \t\r\n]*")
REST = "; what comes after it is not read"


def read(path: Path) -> Iterator[Placed]:
    if _first_byte(path) != b"[":
        yield from _lines(path)
        return
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        yield Placed(line, {}, f"byte {error.start + 1} of the file is not UTF-8: an array cannot be read beyond it")
        return
    yield from _objects(text)


def _first_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        return next((line.lstrip()[:1] for line in file if line.strip()), b"")


def _lines(path: Path) -> Iterator[Placed]:
    """Where one object fills the file, its lines are no rows."""
    rows = jsonl.read(path)
    first = next(rows, None)
    if first is None:
        return
    if first.wrong and (keys := _keys_of_one(path)):
        why = f"the file is one object (with {', '.join(f'`{key}`' for key in keys[:3])}), not an array of rows"
        yield Placed(first.number, {}, why)
        return
    yield first
    yield from rows


def _keys_of_one(path: Path) -> list[str]:
    try:
        whole = json.loads(path.read_bytes())
    except ValueError:
        return []
    return list(whole) if isinstance(whole, dict) else []


def _objects(text: str) -> Iterator[Placed]:
    """Each element by itself, so that one that is no row hides no other."""
    place, line, counted = _skip(text, text.index("[") + 1), 1, 0
    while text[place : place + 1] != "]":
        line, counted = line + text.count("\n", counted, place), place
        try:
            placed, end = _object(text, place, line)
        except (json.JSONDecodeError, RecursionError) as error:
            yield Placed(line, {}, _wrong(error))
            return
        yield placed
        place = _skip(text, end)
        if text[place : place + 1] == ",":
            place = _skip(text, place + 1)
        elif text[place : place + 1] != "]":
            line += text.count("\n", counted, place)
            yield Placed(line, {}, f"not JSON: neither a comma nor the end of the array{REST}")
            return
    after = _skip(text, place + 1)
    if after < len(text):
        yield Placed(line + text.count("\n", counted, after), {}, f"not JSON: something follows the array{REST}")


STRICT, LENIENT = json.JSONDecoder(object_pairs_hook=without_repeats), json.JSONDecoder()


def _object(text: str, place: int, line: int) -> tuple[Placed, int]:
    """An element, and where it ends."""
    try:
        value, end = STRICT.raw_decode(text, place)
    except RepeatedKey as error:
        return Placed(line, {}, str(error)), LENIENT.raw_decode(text, place)[1]
    if not isinstance(value, dict):
        return Placed(line, {}, f"the row is {kind(value)}, not an object"), end
    return Placed(line, value), end


def _wrong(error: json.JSONDecodeError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return f"cannot be read as JSON: {error}{REST}"
    return f"not JSON: {error.msg} at column {error.colno} of line {error.lineno}{REST}"


def _skip(text: str, place: int) -> int:
    found = BLANK.match(text, place)
    assert found is not None, "nothing is blank too"
    return found.end()
