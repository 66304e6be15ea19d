"""A JSONL data file, checked row by row before anything is loaded. No torch, and never the whole file in memory.

Knows: whether each row is a conversation that can be trained on, and the sizes of the images that it shows.
Does not know: tokens; whether the roles alternate as the model's chat template wants; what images show.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from finefit.errors import BadInput, Problem
from finefit.nouns.images import Size

from .image_files import Unreadable, size_of
from .image_rows import has_images, refs_of, texts_of, wrong_parts, wrong_with_images
from .kinds import kind

ROLES = ("system", "user", "assistant", "tool")
SHOWN = 20
"""Bad rows that are named; the rest are counted."""

OTHER_FORMATS = {
    "conversations": "ShareGPT's `conversations`",
    "conversation": "`conversation`",
    "instruction": "Alpaca's `instruction` and `output`",
    "prompt": "`prompt` and `completion`",
    "text": "plain `text`",
}
"""Formats that people bring, by a key that gives them away."""

EXAMPLE = '{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}'


@dataclass(frozen=True)
class Rows:
    lines: tuple[int, ...]
    # of each row, the line it stands on: blank lines are skipped
    shown: tuple[tuple[Size, ...], ...] = ()
    # of each row, the sizes of its images, in their order; nothing where no row has any

    @property
    def rows(self) -> int:
        return len(self.lines)


TEXT_ALONE = "this version would not train on images"


def check_rows(path: Path | str, blind: str = TEXT_ALONE) -> Rows:
    """Every row is a conversation to train on, or all that are not are named. `blind`: why no row may show images;
    empty where rows may."""
    lines: list[int] = []
    shown: list[tuple[Size, ...]] = []
    bad: list[Problem] = []
    folder = Path(path).absolute().parent
    with _opened(path) as file:
        for number, raw in enumerate(file, 1):
            if not raw.strip():
                continue
            lines.append(number)
            try:
                row = _conversation(raw, blind)
                shown.append(tuple(size_of(ref, folder) for ref in refs_of(row)) if not blind else ())
            except (WrongRow, Unreadable) as error:
                bad.append(Problem(str(error), where=f"{path}:{number}"))
    if bad:
        raise BadInput(*_shortened(bad, path, len(lines)))
    if not lines:
        raise BadInput(Problem("there are no rows in this file", where=str(path), hint=f"rows like {EXAMPLE}"))
    return Rows(tuple(lines), tuple(shown) if any(shown) else ())


def _opened(path: Path | str) -> BinaryIO:
    try:
        return Path(path).open("rb")
    except OSError as error:
        raise BadInput(Problem(f"cannot be read: {error.strerror}", where=str(path))) from None


def _shortened(bad: list[Problem], path: Path | str, rows: int) -> list[Problem]:
    total = Problem(
        f"{len(bad)} of {rows} rows are wrong" + (f"; the first {SHOWN} are named" if len(bad) > SHOWN else ""),
        where=str(path),
        why="rows are never dropped or mended in silence",
        hint=f"rows like {EXAMPLE}",
    )
    return [*bad[:SHOWN], total]


class WrongRow(Exception):
    """Why a line is no row to train on."""


def _conversation(raw: bytes, blind: str) -> Mapping[str, Any]:
    row, reason = _read(raw)
    reason = reason or _wrong_conversation(row, blind)
    if reason:
        raise WrongRow(reason)
    return row


def _read(raw: bytes) -> tuple[Mapping[str, Any], str]:
    """The row, or why there is none."""
    try:
        row = json.loads(raw.decode("utf-8"), object_pairs_hook=_without_repeats)
    except UnicodeDecodeError as error:
        return {}, f"byte {error.start + 1} of the line is not UTF-8"
    except json.JSONDecodeError as error:
        return {}, _wrong_json(raw, error)
    except RepeatedKey as error:
        return {}, f"the key `{error}` is there twice"
    except (RecursionError, ValueError) as error:
        return {}, f"cannot be read as JSON: {error}"
    if not isinstance(row, dict):
        return {}, f"the row is {kind(row)}, not an object" + _if_array(raw)
    return row, ""


class RepeatedKey(Exception):
    """JSON leaves open which of two values counts, and readers differ."""


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        raise RepeatedKey(next(key for key in keys if keys.count(key) > 1))
    return values


def _wrong_json(raw: bytes, error: json.JSONDecodeError) -> str:
    if raw.startswith(b"\xef\xbb\xbf"):
        return "the file starts with a byte order mark: save it as UTF-8 without BOM"
    return f"not JSON: {error.msg} at column {error.colno}" + _if_array(raw)


def _if_array(raw: bytes) -> str:
    return "; a JSON array is not JSONL, which has one object on each line" if raw.lstrip()[:1] == b"[" else ""


def _wrong_conversation(row: Mapping[str, Any], blind: str) -> str:
    if "messages" not in row:
        other = next((words for key, words in OTHER_FORMATS.items() if key in row), "")
        return "no `messages`" + (f"; this looks like {other}, which has to be converted first" if other else "")
    if row.get("tools"):
        return "the row has `tools`, which this version would not train on"
    messages = row["messages"]
    if not isinstance(messages, list):
        return f"`messages` is {kind(messages)}, not a list"
    if not messages:
        return "`messages` is empty"
    wrong = next((reason for i, m in enumerate(messages, 1) if (reason := _wrong_message(m, i, blind))), "")
    return wrong or _wrong_turns(messages) or _wrong_images(row, blind)


def _wrong_images(row: Mapping[str, Any], blind: str) -> str:
    if blind:
        return f"the row has images: {blind}" if has_images(row) else ""
    return wrong_with_images(row)


def _wrong_message(message: Any, number: int, blind: str) -> str:
    where = f"message {number}"
    if not isinstance(message, dict):
        return f"{where} is {kind(message)}, not an object"
    for key in ("role", "content"):
        if key not in message:
            other = ": `from` and `value` are ShareGPT's names" if "from" in message else ""
            return f"{where} has no `{key}`{other}"
    extra = [key for key, value in message.items() if key not in ("role", "content") and value is not None]
    if extra:
        return f"{where} has `{extra[0]}`, which this version would not train on: only role and content are read"
    if message["role"] not in ROLES:
        return f"{where} has the role {json.dumps(message['role'])}, not one of {', '.join(ROLES)}"
    content = message["content"]
    if not isinstance(content, str if blind else str | list):
        parts = f"; content in parts is for images, and {blind}" if blind and isinstance(content, list) else ""
        return f"the content of {where} is {kind(content)}, not text{parts}"
    wrong = wrong_parts(content, where)
    if not wrong and not all(_encodable(text) for text in texts_of(content)):
        return f"the content of {where} has half of a surrogate pair, which is no character"
    return wrong


def _wrong_turns(messages: list[Mapping[str, Any]]) -> str:
    answers = ["".join(texts_of(message["content"])) for message in messages if message["role"] == "assistant"]
    if not answers:
        return "no message of the assistant: nothing to train on"
    return "" if any(answer.strip() for answer in answers) else "every message of the assistant is empty"


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
