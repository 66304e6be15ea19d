"""A JSON object, or why some bytes are none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from finefit.nouns.kinds import kind


def object_in(raw: bytes) -> tuple[Mapping[str, Any], str]:
    try:
        row = json.loads(raw.decode("utf-8"), object_pairs_hook=without_repeats)
    except UnicodeDecodeError as error:
        return {}, f"byte {error.start + 1} of the line is not UTF-8"
    except json.JSONDecodeError as error:
        return {}, _wrong_json(raw, error)
    except RepeatedKey as error:
        return {}, str(error)
    except (RecursionError, ValueError) as error:
        return {}, f"cannot be read as JSON: {error}"
    if not isinstance(row, dict):
        return {}, f"the row is {kind(row)}, not an object" + _if_array(raw)
    return row, ""


class RepeatedKey(Exception):
    """JSON leaves open which of two values counts, and readers differ."""


def without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        raise RepeatedKey(f"the key `{next(key for key in keys if keys.count(key) > 1)}` is there twice")
    return values


def _wrong_json(raw: bytes, error: json.JSONDecodeError) -> str:
    if raw.startswith(b"\xef\xbb\xbf"):
        return "the file starts with a byte order mark: save it as UTF-8 without BOM"
    column = min(error.pos, len(error.doc.rstrip("\r\n"))) + 1  # where the line ends too early, behind it
    return f"not JSON: {error.msg} at column {column}" + _if_array(raw)


def _if_array(raw: bytes) -> str:
    if raw.lstrip()[:1] != b"[":
        return ""
    return "; a JSON array is not JSONL, which has one object on each line: an array's name ends in .json"
