"""Plain `text`: every token is trained, and the end-of-sequence token that TRL (1.16) puts after it."""

from __future__ import annotations

from .format import Format, Said
from .turns import wrong_text

TEXT = Format(
    name="text",
    keys=frozenset({"text"}),
    trained="everything",
    how="text as it is, without a chat template, and the end-of-sequence token after it",
    example='{"text": "…"}',
    wrong=lambda row, _blind: wrong_text(row["text"], "text"),
    columns=lambda row: {"text": row["text"]},
    said=lambda row: [Said(row["text"], False, True)],
)
