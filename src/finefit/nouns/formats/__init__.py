"""The formats of a data file's rows, one file each. A new one is a file and a name in FORMATS.

Knows: which format a row has, by its keys. Does not know: files, whose first row decides (`finefit.world.rows`).
"""

from __future__ import annotations

from .alpaca import ALPACA
from .both import is_chat as _is_chat
from .format import Columns, Format, Row, Said, Trained
from .messages import MESSAGES
from .pairs import BOTH as _PAIR
from .pairs import IMPLICIT, IMPLICIT_CHAT, PROMPTED, PROMPTED_CHAT
from .pairs import has_prompt as _has_prompt
from .prompt_completion import BOTH as _ANSWERED
from .prompt_completion import CHAT, PROMPT_COMPLETION
from .sharegpt import SHAREGPT
from .text import TEXT

__all__ = ["FORMATS", "MESSAGES", "Columns", "Format", "Row", "Said", "Trained", "named", "recognised", "unknown"]

FORMATS: tuple[Format, ...] = (
    MESSAGES,
    PROMPT_COMPLETION,
    CHAT,
    ALPACA,
    SHAREGPT,
    TEXT,
    PROMPTED,
    PROMPTED_CHAT,
    IMPLICIT,
    IMPLICIT_CHAT,
)

NEAR = {
    "conversation": "ShareGPT's key is `conversations`",
    "dialog": "`messages` has dialogues",
    "dialogue": "`messages` has dialogues",
    "question": "`prompt` and `completion` have questions and answers",
    "query": "`prompt` and `completion` have queries and responses",
    "response": "`prompt` and `completion` have queries and responses",
    "answer": "`prompt` and `completion` have questions and answers",
    "input": "Alpaca's rows have `instruction`, `input` and `output`",
    "output": "Alpaca's rows have `instruction`, `input` and `output`",
    "content": "plain text is `text`",
}
"""Keys of other formats, and what is near them."""


def named(name: str) -> Format:
    return next(format for format in FORMATS if format.name == name)


def recognised(row: Row) -> Format | None:
    """By keys that are not null: Arrow fills rows up with nulls. Where several formats are there, the first one counts,
    as a row's messages say more than a text that was made of them."""
    keys = {key for key, value in row.items() if value is not None} or row.keys()
    if "messages" in keys:
        return MESSAGES
    if keys & {"chosen", "rejected"}:
        return (PROMPTED_CHAT if _is_chat(row, _PAIR) else PROMPTED) if _has_prompt(row) else _implicit(row)
    if keys & {"prompt", "completion"}:
        return CHAT if _is_chat(row, _ANSWERED) else PROMPT_COMPLETION
    first = {"instruction": ALPACA, "conversations": SHAREGPT, "text": TEXT}
    return next((format for key, format in first.items() if key in keys), None)


def _implicit(row: Row) -> Format:
    return IMPLICIT_CHAT if _is_chat(row, _PAIR) else IMPLICIT


def unknown(row: Row) -> str:
    """Why no format was recognised."""
    near = next((words for key, words in NEAR.items() if key in row), "")
    known = "no `messages`, `prompt`, `instruction`, `conversations`, `text`, nor `chosen`"
    return f"{known}: no format is known by {_listed(row)}" + (f"; {near}" if near else "")


def _listed(row: Row) -> str:
    names = ", ".join(f"`{key}`" for key in list(row)[:4])
    return f"the keys {names}" if names else "a row without keys"
