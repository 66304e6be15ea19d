"""Chat templates that write text of parts alone, as rows with images have it (Idefics3, SmolVLM, LLaVA): of a message
whose content is a plain string they write nothing, or fail.

Knows: one user's message, written both ways. Does not know: how rows of text alone could be written with them.
"""

from __future__ import annotations

from typing import Any

from datasets import Dataset
from jinja2 import TemplateError
from trl.data_utils import is_conversational

from finefit.errors import BadInput, Problem

WORD = "word"
LOST = "the model's chat template writes text of parts alone, as rows with images have it"


def loses_words(tokenizer: Any, rows: Dataset) -> bool:
    """Of rows of text."""
    if tokenizer.chat_template is None or not is_conversational(rows[0]):
        return False
    return not _writes(tokenizer, WORD) and _writes(tokenizer, [{"type": "text", "text": WORD}])


def refuse_lost_words(tokenizer: Any, rows: Dataset, where: str) -> None:
    """Raises `BadInput`, before anything is trained on templates without words."""
    if loses_words(tokenizer, rows):
        hint = "rows that show images, or a model of text"
        raise BadInput(Problem("the words of these rows would be lost", where=where, why=LOST, hint=hint))


def _writes(tokenizer: Any, content: Any) -> bool:
    try:
        return WORD in tokenizer.apply_chat_template([{"role": "user", "content": content}], tokenize=False)
    except (TemplateError, TypeError, ValueError):
        return False
