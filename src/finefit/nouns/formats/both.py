"""Two keys of a row that belong together: both as text, or both as messages."""

from __future__ import annotations

from finefit.nouns.kinds import kind

from .format import WITH_MESSAGES, Row
from .turns import wrong_messages

Both = tuple[str, str]


def is_chat(row: Row, both: Both) -> bool:
    return any(isinstance(row.get(key), list) for key in both)


def unpaired(row: Row, both: Both) -> str:
    for key, other in zip(both, both[::-1], strict=True):
        if row.get(key) is None:
            return f"there is `{other}` without `{key}`"
    return ""


def wrong_chats(row: Row, both: Both, blind: str) -> str:
    """Asked of a row that has both."""
    for key, other in zip(both, both[::-1], strict=True):
        if isinstance(row[key], str):
            return f"`{key}` is text and `{other}` is {kind(row[other])}: both are text, or both are messages"
        if reason := wrong_messages(row[key], key, blind or WITH_MESSAGES, f" of `{key}`"):
            return reason
    return ""
