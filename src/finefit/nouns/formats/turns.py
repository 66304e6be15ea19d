"""Messages of a conversation: role and content, as chat templates take them, and what may be wrong with them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from finefit.nouns.kinds import kind

from .format import Said
from .images import texts_of, wrong_parts

ROLES = ("system", "user", "assistant", "tool")
Message = Mapping[str, Any]


def wrong_messages(messages: Any, key: str, blind: str, within: str = "") -> str:
    """`key`: where the row has them; `within`: how a message's place is told, where there are several lists."""
    if not isinstance(messages, list):
        return f"`{key}` is {kind(messages)}, not a list"
    if not messages:
        return f"`{key}` is empty"
    places = ((f"message {number}{within}", message) for number, message in enumerate(messages, 1))
    return next((reason for place, message in places if (reason := _wrong_message(message, place, blind))), "")


def _wrong_message(message: Any, where: str, blind: str) -> str:
    near = {"from": "`from` and `value` are ShareGPT's names, in `conversations`"}
    if reason := wrong_keys(message, where, ("role", "content"), near):
        return reason
    if message["role"] not in ROLES:
        return f"{where} has the role {json.dumps(message['role'], default=str)}, not one of {', '.join(ROLES)}"
    return wrong_content(message["content"], where, blind)


def wrong_keys(message: Any, where: str, keys: tuple[str, str], near: Mapping[str, str]) -> str:
    """`near`: keys of another format, and where they belong."""
    if not isinstance(message, dict):
        return f"{where} is {kind(message)}, not an object"
    for key in keys:
        if key not in message:
            other = next((f": {words}" for name, words in near.items() if name in message), "")
            return f"{where} has no `{key}`{other}"
    extra = [key for key, value in message.items() if key not in keys and value is not None]
    if extra:
        return f"{where} has `{extra[0]}`, which this version would not train on: only {' and '.join(keys)} are read"
    return ""


def wrong_content(content: Any, where: str, blind: str) -> str:
    if not isinstance(content, str if blind else str | list):
        parts = f"; content in parts is for images, and {blind}" if blind and isinstance(content, list) else ""
        return f"the content of {where} is {kind(content)}, not text{parts}"
    wrong = wrong_parts(content, where)
    if not wrong and not all(is_encodable(text) for text in texts_of(content)):
        return f"the content of {where} {HALF}"
    return wrong


def wrong_answers(messages: Sequence[Message]) -> str:
    """Whether the assistant says anything."""
    answers = ["".join(texts_of(message["content"])) for message in messages if message["role"] == "assistant"]
    if not answers:
        return "no message of the assistant: nothing to train on"
    return "" if any(answer.strip() for answer in answers) else "every message of the assistant is empty"


def wrong_text(value: Any, key: str, *, may_be_empty: bool = False) -> str:
    """Of a key whose value is plain text."""
    if not isinstance(value, str):
        return f"`{key}` is {kind(value)}, not text"
    if not may_be_empty and not value.strip():
        return f"`{key}` is empty"
    return "" if is_encodable(value) else f"`{key}` {HALF}"


HALF = "has half of a surrogate pair, which is no character"


def is_encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def plain(messages: Sequence[Message]) -> list[dict[str, Any]]:
    return [{"role": message["role"], "content": message["content"]} for message in messages]


def said_in(messages: Sequence[Message]) -> list[Said]:
    return [Said("".join(texts_of(message["content"])), True, message["role"] == "assistant") for message in messages]
