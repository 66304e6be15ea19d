"""The rows of a rehearsal: a job's own, those that were tokenised before, or such of an asked length."""

from __future__ import annotations

from typing import Any

from datasets import Dataset

from . import shown
from .batches import Row
from .pairs import pair_of
from .plain_text import as_written
from .preferences import task_of
from .processor import tokenizer_of
from .rows import Which, conversations_in_parts, dataset_of
from .stage import RECORDED_STEPS
from .synthetic import padding_tokenizer, row_of, rows_for


def dataset(orders: dict[str, Any], tokenizer: Any) -> Dataset:
    """`tokenizer`: by which rows of text are written."""
    if has_rows(orders):
        return repeated(orders, orders["rehearsal"]["rows"])
    if _lengths(orders):
        made = pair_of if task_of(orders)["name"] == "dpo" else row_of
        rows = [made(tokens, trained) for tokens, trained in _lengths(orders)]
        return Dataset.from_list(shown.with_places(rows, orders) if shown.shows(orders) else rows)
    if orders["data"]:
        return conversations_in_parts(orders["data"]) if shown.shows(orders) else _of_text(orders, tokenizer, "train")
    batch = orders["trainer"]["per_device_train_batch_size"]
    return _rows(orders, batch * orders["rehearsal"]["accumulation"] * RECORDED_STEPS)


def _of_text(orders: dict[str, Any], tokenizer: Any, which: Which) -> Dataset:
    return as_written(tokenizer, dataset_of(orders["data"], which))


def held_out(orders: dict[str, Any], tokenizer: Any) -> Dataset | None:
    """None where nothing is evaluated."""
    if has_rows(orders):
        rows = orders["rehearsal"]["held_out"]
        return Dataset.from_list(rows) if rows else None
    if orders["data"] and shown.shows(orders):
        has_any = orders["data"]["eval"] and not _lengths(orders)
        return conversations_in_parts(orders["data"], "eval") if has_any else None
    if orders["data"]:
        return _of_text(orders, tokenizer, "eval") if orders["data"]["eval"] else None
    if not orders["rehearsal"].get("evaluation"):
        return None
    return _rows(orders, orders["trainer"]["per_device_eval_batch_size"])


def _rows(orders: dict[str, Any], count: int) -> Dataset:
    return Dataset.from_list(rows_for(orders, count))


def tokenizer_for(orders: dict[str, Any]) -> Any:
    if orders["data"] and not _lengths(orders):
        return tokenizer_of(orders["model"]["folder"])
    return padding_tokenizer()


def repeated(orders: dict[str, Any], rows: list[Row]) -> Dataset:
    """One micro-batch, for all that are rehearsed."""
    return Dataset.from_list(rows * (orders["rehearsal"]["accumulation"] * RECORDED_STEPS))


def has_rows(orders: dict[str, Any]) -> bool:
    """Rows that were tokenised before, in the place of those of a file."""
    return "rows" in orders["rehearsal"]


def are_tokens(orders: dict[str, Any]) -> bool:
    return has_rows(orders) or bool(_lengths(orders))


def _lengths(orders: dict[str, Any]) -> list[list[int]]:
    """Of a file's rows, where no tokenizer is here: all tokens of each, and those that are trained."""
    return (orders["data"] or {}).get("lengths", [])
