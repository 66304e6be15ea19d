"""The type and the range of each key of a job, one key at a time; what keys mean together is in rules.py."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable
from dataclasses import fields
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from finefit.errors import Problem, nearest
from finefit.nouns.hub_rows import hub_rows
from finefit.nouns.job import Job
from finefit.nouns.steps import step_range

from .entries import Entry

KEYS = tuple(field.name for field in fields(Job))
REQUIRED = ("model", "data")
PATHS = ("data", "eval_data", "output_dir")
ROWS = ("data", "eval_data")

OPTIMIZERS = (
    *("adamw_torch_fused", "adamw_torch", "adafactor", "sgd", "adagrad", "rmsprop"),
    *("adamw_8bit", "adamw_bnb_8bit", "lion_8bit", "lion_32bit", "ademamix", "ademamix_8bit"),
    *("rmsprop_bnb", "rmsprop_bnb_8bit", "rmsprop_bnb_32bit"),
    *("paged_adamw", "paged_adamw_8bit", "paged_adamw_32bit", "paged_lion_8bit", "paged_lion_32bit"),
    *("paged_ademamix_8bit", "paged_ademamix_32bit"),
)
"""transformers' names (5.23, `OptimizerNames`) of torch's and bitsandbytes' optimizers."""

PLAIN_NAMES = re.compile(r"[\w.]+(\s*,\s*[\w.]+)*")
"""`q_proj,v_proj`: names, not one of PEFT's regular expressions."""

SHORT_NUMBER = re.compile(r"[0-9]{1,18}")

MANY = 2**31

Limit = tuple[Callable[[Any], bool], str]


def _within(low: float, high: float, words: str) -> Limit:
    return lambda number: low <= number <= high, words


IMAGE_SIZE = re.compile(r"[1-9]\d{0,5}x[1-9]\d{0,5}")
"""Width and height in pixels."""

COUNT = _within(1, MANY, "at least 1")
ABOVE_ZERO = 1e-300
LIMITS: dict[str, Limit] = {
    "num_train_epochs": _within(ABOVE_ZERO, MANY, "above 0"),
    "max_steps": (lambda steps: steps == -1 or 1 <= steps <= MANY, "at least 1, or -1 for none"),
    "global_batch_size": COUNT,
    "learning_rate": _within(ABOVE_ZERO, 1, "above 0 and at most 1"),
    "warmup_steps": _within(0, MANY, "at least 0 (below 1: a share of all steps)"),
    "weight_decay": _within(0, 1, "from 0 to 1"),
    "max_grad_norm": _within(0, MANY, "at least 0 (0: no clipping)"),
    "beta": _within(ABOVE_ZERO, MANY, "above 0"),
    "lora_r": COUNT,
    "lora_alpha": COUNT,
    "lora_dropout": _within(0, 0.999, "from 0 to below 1"),
    "seed": _within(0, 2**32 - 1, "from 0 to 4294967295"),
    "max_length": COUNT,
    "max_new_tokens": COUNT,
    "num_beams": COUNT,
    "per_device_train_batch_size": COUNT,
    "gradient_accumulation_steps": COUNT,
    "gradient_checkpointing": (lambda layers: isinstance(layers, str) or 0 <= layers <= MANY, "at least 0"),
    "logging_steps": COUNT,
    "eval_steps": COUNT,
    "save_steps": COUNT,
    "save_total_limit": COUNT,
    "image_size": (lambda text: bool(IMAGE_SIZE.fullmatch(text)), "width and height in pixels, like 1280x720"),
    "images": COUNT,
    "profile_steps": (lambda text: step_range(text) is not None, "optimizer steps, like 3-5 or 3; the first is 1"),
}


def checked(entry: Entry) -> tuple[Any, Problem | None]:
    """The value as its type, or what is wrong with it."""
    hint = _hints()[entry.key]
    value = _prepared(entry, hint)
    if value == "" or (value is None and NoneType not in get_args(hint)):
        return None, Problem("needs a value", where=entry.where, hint=_expected(hint))
    if isinstance(value, bool) and bool not in _kinds(hint):
        return None, _wrong_type(entry, hint)  # to Python, true is the number 1
    if not _is_typed(value, hint):
        from pydantic import TypeAdapter, ValidationError

        try:
            value = TypeAdapter(hint).validate_python(value)
        except ValidationError:
            return None, _wrong_type(entry, hint)
    return value, _out_of_range(entry, value)


def _is_typed(value: Any, hint: Any) -> bool:
    """Whether nothing is to be converted: what most values are, and pydantic takes long to import."""
    return type(value) in _kinds(hint) or any(value == word and type(value) is type(word) for word in _literals(hint))


def _kinds(hint: Any) -> tuple[Any, ...]:
    """The type that it is, or those that it joins."""
    return hint, *get_args(hint)


@cache
def _hints() -> dict[str, Any]:
    return get_type_hints(Job)


def _prepared(entry: Entry, hint: Any) -> Any:
    """What YAML and the shell write in another form: `gpu: 4090`, a path from its folder, `q_proj,v_proj`."""
    value = entry.value
    if type(value) is int and str in _kinds(hint):
        value = str(value)
    if not isinstance(value, str):
        return value
    value = value.strip()
    kinds = _kinds(hint)
    if SHORT_NUMBER.fullmatch(value) and (int(value) in _literals(hint) or (int in kinds and str not in kinds)):
        return int(value)
    if entry.key in PATHS and value:
        of_hub = entry.key in ROWS and not (entry.base / value).exists() and hub_rows(value) is not None
        return value if of_hub else _absolute(value, entry.base)
    if entry.key == "model" and value:
        return _absolute(value, entry.base) if _is_path(value, entry.base) else value
    if entry.key == "lora_target_modules" and value != "all-linear" and PLAIN_NAMES.fullmatch(value):
        return [name.strip() for name in value.split(",")]
    return value


def _absolute(text: str, base: Path) -> str:
    return os.path.abspath(base / Path(text).expanduser())


def _is_path(text: str, base: Path) -> bool:
    return text.startswith(("./", "../", "/", "~")) or (base / text).exists()


def _wrong_type(entry: Entry, hint: Any) -> Problem:
    value = entry.value
    words = _words(hint)
    near = difflib.get_close_matches(str(value), words, n=1)
    return Problem(
        f"{value!r} is not {_expected(hint)}", where=entry.where, hint=f"did you mean '{near[0]}'?" if near else ""
    )


def _out_of_range(entry: Entry, value: Any) -> Problem | None:
    if value is None:
        return None
    inside, words = LIMITS.get(entry.key, (lambda _: True, ""))
    if not inside(value):
        return Problem(f"{entry.value} is out of range", where=entry.where, hint=words)
    if entry.written == "warmup_ratio" and value >= 1:
        return Problem(
            f"{entry.value} is no ratio", where=entry.where, hint="below 1; or warmup_steps, which counts steps"
        )
    if entry.key == "optim" and value not in OPTIMIZERS:
        known = "one of " + ", ".join(OPTIMIZERS)
        why = "the others of transformers need packages that this version does not use"
        return Problem(
            f"unknown optimizer '{value}'", where=entry.where, why=why, hint=nearest(value, OPTIMIZERS) or known
        )
    if entry.key == "lora_target_modules":
        return _wrong_modules(entry, value)
    return None


def _wrong_modules(entry: Entry, value: str | tuple[str, ...]) -> Problem | None:
    if not value or not all(value):
        return Problem("names no modules", where=entry.where, hint="all-linear, or names like q_proj,v_proj")
    try:
        re.compile(value if isinstance(value, str) else "")
    except re.error as error:
        return Problem(f"neither names nor a regular expression: {error}", where=entry.where)
    return None


def _words(hint: Any) -> list[str]:
    """The words that a hint allows literally."""
    return [str(word) for word in _literals(hint)]


def _literals(hint: Any) -> list[Any]:
    if get_origin(hint) is Literal:
        return list(get_args(hint))
    return [value for part in get_args(hint) for value in _literals(part)]


def _expected(hint: Any) -> str:
    """`a whole number or one of all, none, auto`"""
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    parts = [hint] if hint in names else list(get_args(hint))
    kinds = [names[part] for part in parts if part in names]
    if any(get_origin(part) is tuple for part in parts):
        kinds.append("a list of names")
    words = _words(hint)
    return " or ".join([*kinds, *(["one of " + ", ".join(words)] if words else [])])
