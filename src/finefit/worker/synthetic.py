"""Rows where there is no data: token ids of one length, all that may be trained is, and a tokenizer that only pads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from .images import with_placeholders
from .packing import DOCUMENTS, documents_of
from .pairs import KNOWN, pair_of


def rows_for(orders: Mapping[str, Any], count: int) -> list[dict[str, Any]]:
    """As long as a rehearsal is: of the task, and with its images."""
    rehearsal, task = orders["rehearsal"], orders.get("task", {})
    if task.get("name") == "dpo":
        return preferences_of(rehearsal["length"], count, is_known=task["reference"] == "precomputed")
    rows, images = rows_of(rehearsal["length"], count), rehearsal.get("images")
    if rehearsal.get("documents"):
        return [row | {DOCUMENTS: documents_of(rehearsal["length"], rehearsal["documents"])} for row in rows]
    return [with_placeholders(row, images) for row in rows] if images else rows


def rows_of(length: int, count: int) -> list[dict[str, Any]]:
    return [row_of(length, length)] * count


def row_of(tokens: int, trained: int) -> dict[str, Any]:
    """Trained are the last ones, as an answer is."""
    return {"input_ids": [1] * tokens, "labels": [-100] * (tokens - trained) + [1] * trained}


def preferences_of(length: int, count: int, is_known: bool) -> list[dict[str, Any]]:
    """Prompts of one token, all else trained. What is padded is masked, for which attention takes another kernel.
    `is_known`: rows say what the reference says of them."""
    known = dict.fromkeys(KNOWN, -1.0) if is_known else {}
    return [{**pair_of(length, length - 1), **known}] * count


def padding_tokenizer() -> Any:
    """Rows are token ids already; the trainer only asks for a padding token."""
    words = Tokenizer(models.WordLevel({"<pad>": 0}, unk_token="<pad>"))
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<pad>")
