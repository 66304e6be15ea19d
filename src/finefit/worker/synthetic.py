"""Rows where there is no data: token ids of one length, every token trained, and a tokenizer that only pads."""

from __future__ import annotations

from typing import Any

from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast


def rows_of(length: int, count: int) -> list[dict[str, Any]]:
    return [{"input_ids": [1] * length, "labels": [1] * length}] * count


def padding_tokenizer() -> Any:
    """Rows are token ids already; the trainer only asks for a padding token."""
    words = Tokenizer(models.WordLevel({"<pad>": 0}, unk_token="<pad>"))
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<pad>")
