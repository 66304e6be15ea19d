"""`messages`: conversations as TRL and chat templates have them. The one format whose rows may show images."""

from __future__ import annotations

from .format import Columns, Format, Row, Said
from .images import has_images, wrong_with_images
from .turns import plain, said_in, wrong_answers, wrong_messages


def wrong(row: Row, blind: str) -> str:
    reason = wrong_messages(row.get("messages"), "messages", blind) or wrong_answers(row["messages"])
    if reason:
        return reason
    if not blind:
        return wrong_with_images(row)
    return f"the row has images: {blind}" if has_images(row) else ""


def columns(row: Row) -> Columns:
    return {"messages": plain(row["messages"])}


def said(row: Row) -> list[Said]:
    return said_in(row["messages"])


MESSAGES = Format(
    name="messages",
    keys=frozenset({"messages", "images", "image"}),
    trained="turns",
    how="conversations, written by the model's own chat template",
    example='{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}',
    wrong=wrong,
    columns=columns,
    said=said,
)
