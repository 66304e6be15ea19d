"""Chat templates that write text of parts alone, as rows with images have it (Idefics3, SmolVLM, LLaVA): of a message
whose content is a plain string they write nothing, or fail. Rows of text are in parts there, too.

Knows: one user's message, written both ways. Does not know: templates that write either only of some roles.
"""

from __future__ import annotations

from typing import Any

from datasets import Dataset
from jinja2 import TemplateError
from trl.data_utils import is_conversational

from .rows import put_in_parts

WORD = "word"


def as_written(tokenizer: Any, rows: Dataset) -> Dataset:
    """Rows of text, so that the model's chat template writes their words."""
    return put_in_parts(rows) if is_conversational(rows[0]) and needs_parts(tokenizer) else rows


def needs_parts(tokenizer: Any) -> bool:
    """Else words are lost."""
    if tokenizer.chat_template is None:
        return False
    return not _writes(tokenizer, WORD) and _writes(tokenizer, [{"type": "text", "text": WORD}])


def _writes(tokenizer: Any, content: Any) -> bool:
    try:
        return WORD in tokenizer.apply_chat_template([{"role": "user", "content": content}], tokenize=False)
    except (TemplateError, TypeError, ValueError):
        return False
