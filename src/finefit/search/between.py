"""Between and beyond two things that are known: everything that is a number lies on the line through both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, TypeVar

Known = TypeVar("Known")


def on_line(first: Known, second: Known, part: float) -> Known | None:
    """`part` of the way from the first to the second, also beyond; None where they are not the same but for numbers."""
    try:
        found: Known = _on_line(first, second, part)
    except ValueError:
        return None
    return found


def _on_line(first: Any, second: Any, part: float) -> Any:
    if first is second or first == second:
        return first
    match first:
        case bool() | str():
            raise ValueError("not a number")
        case int() | float():
            return first + part * (second - first)
        case Mapping() if first.keys() == second.keys():
            return {key: _on_line(value, second[key], part) for key, value in first.items()}
        case tuple() if len(first) == len(second):
            return tuple(_on_line(one, other, part) for one, other in zip(first, second, strict=True))
        case _ if is_dataclass(first) and type(first) is type(second):
            kind: Any = type(first)
            made = (_on_line(getattr(first, name), getattr(second, name), part) for name in _names(kind))
            return kind(*made)
    raise ValueError("of another shape")


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))
