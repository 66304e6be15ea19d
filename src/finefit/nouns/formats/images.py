"""What a row of a data file shows: images beside its messages, or in them, as TRL's vision collator takes them.

A row's images are in `images`, or one in `image`; content in parts has `{"type": "image"}` where each of them goes, and
where all content is plain text TRL puts them before the first message of a user. A part may bring its own image:
`{"type": "image", "image": ...}`. Keys that are null are none: that is how Arrow fills up rows.

Source: TRL 1.16, data_utils.py (`prepare_multimodal_messages`) and sft_trainer.py (`_collate_language_modeling`).

Knows: how many images a row shows, and in which order. Does not know: images (`image_files.py`); videos.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from finefit.nouns.kinds import kind

Content = str | list[Any]
PARTS = ("text", "image")
WITHOUT = "tool"
"""The role whose images TRL leaves out."""


def texts_of(content: Content) -> list[str]:
    if isinstance(content, str):
        return [content]
    parts: Sequence[Mapping[str, Any]] = content
    return [part["text"] for part in parts if part["type"] == "text"]


def wrong_parts(content: Content, where: str) -> str:
    """Why content is not text, or parts that are text and images."""
    if isinstance(content, str):
        return ""
    if not content:
        return f"the content of {where} has no parts"
    return next(
        (reason for i, part in enumerate(content, 1) if (reason := _wrong_part(part, f"part {i} of {where}"))), ""
    )


def _wrong_part(part: Any, where: str) -> str:
    if not isinstance(part, dict):
        return f"{where} is {kind(part)}, not an object"
    if part.get("type") not in PARTS:
        return f"{where} has the type {part.get('type')!r}, not text or image"
    extra = [key for key, value in part.items() if value is not None and key not in ("type", part["type"])]
    if extra:
        return f"{where} has `{extra[0]}`: of a part, only `type` and `{part['type']}` are read"
    if part["type"] == "text" and not isinstance(part.get("text"), str):
        return f"the text of {where} is {kind(part.get('text'))}"
    return ""


def has_images(row: Mapping[str, Any]) -> bool:
    return bool(row.get("images") or row.get("image"))


def wrong_with_images(row: Mapping[str, Any]) -> str:
    """Of a row whose messages are right."""
    if row.get("image") is not None and row.get("images") is not None:
        return "the row has both `image` and `images`"
    if not isinstance(row.get("images") or [], list):
        return f"`images` is {kind(row['images'])}, not a list"
    in_tools = any(part["type"] == "image" for message in row["messages"] for part in _parts(message, WITHOUT))
    if in_tools:
        return f"a message of the role {WITHOUT} shows an image, which TRL would leave out"
    beside, places = _beside(row), list(_places(row))
    open_places = sum(place is None for place in places)
    if open_places != len(beside):
        return f"{_count(len(beside), 'image')} beside the messages, and {_count(open_places, 'place')} for one in them"
    return ""


def refs_of(row: Mapping[str, Any]) -> list[Any]:
    """What the row says of each image, in the order in which they are shown."""
    beside = iter(_beside(row))
    return [next(beside) if place is None else place for place in _places(row)]


def in_parts(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Its messages with all content in parts, and in each image's part what the row says of it."""
    beside, is_first = _beside(row), True
    refs = iter(refs_of(row))
    for message in row["messages"]:
        content = message["content"]
        if isinstance(content, str):
            shows = beside if message["role"] == "user" and is_first else ()
            is_first = is_first and message["role"] != "user"
            content = [*({"type": "image"} for _ in shows), {"type": "text", "text": content}]
        yield {"role": message["role"], "content": [_part(part, refs) for part in content]}


def _part(part: Mapping[str, Any], refs: Iterator[Any]) -> dict[str, Any]:
    if part["type"] == "image":
        return {"type": "image", "image": next(refs)}
    return {"type": "text", "text": part["text"]}


def _beside(row: Mapping[str, Any]) -> list[Any]:
    if row.get("image") is not None:
        return [row["image"]]
    return row.get("images") or []


def _places(row: Mapping[str, Any]) -> Iterator[Any]:
    """Of each image its own, or None where the next one beside the messages goes."""
    is_first = True
    for message in row["messages"]:
        if message["role"] == "user" and isinstance(message["content"], str) and is_first:
            is_first = False
            yield from [None] * len(_beside(row))
        if message["role"] != WITHOUT:
            yield from (part.get("image") for part in _parts(message, message["role"]) if part["type"] == "image")


def _parts(message: Mapping[str, Any], role: str) -> Sequence[Any]:
    return message["content"] if message["role"] == role and not isinstance(message["content"], str) else ()


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
