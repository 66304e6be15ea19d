"""What a document is made of: the same blocks for Markdown and HTML.

A number in a table is a `Quantity`, which knows its unit; text is text. No block knows how it is written.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, assert_never

from finefit.units import human_bytes, human_seconds

Unit = Literal[
    "bytes", "seconds", "tokens/s", "USD", "USD/h", "%", "parameters", "layers", "sequences", "tokens", "GPUs", "CPUs",
    "cores", "Gbit/s", "GB/s", "TFLOP/s", "TFLOP", "steps", "rows", "times", "bits", "",
]  # fmt: skip


@dataclass(frozen=True)
class Quantity:
    value: float
    unit: Unit
    high: float | None = None
    # where it is a range: `value` is its least
    about: bool = False
    # not computed to the last place, or not checked
    is_signed: bool = False

    def __str__(self) -> str:
        first = "about " if self.about else ""
        if self.high is None:
            return first + _words(self.value, self.unit, self.is_signed)
        return f"{first}{_words(self.value, self.unit)} to {_words(self.high, self.unit)}"


def _words(value: float, unit: Unit, is_signed: bool = False) -> str:
    sign = "+" if is_signed and value > 0 else ""
    match unit:
        case "bytes":
            return sign + human_bytes(value)
        case "seconds":
            return sign + (_days(value) if value >= 48 * 3600 else human_seconds(value))
        case "USD" | "USD/h":
            return f"{sign}{value:,.2f} {unit}"
        case "%":
            return f"{sign}{value:.0f} %"
        case "parameters" | "layers" | "sequences" | "tokens" | "GPUs" | "CPUs" | "cores" | "steps" | "rows" | "bits":
            return f"{sign}{value:,.0f} {unit[:-1] if value == 1 else unit}"
        case "tokens/s":
            return f"{sign}{value:,.0f} tokens/s"
        case "Gbit/s" | "GB/s" | "TFLOP/s" | "TFLOP":
            return f"{sign}{value:,.0f} {unit}" if value >= 10 else f"{sign}{value:.2f} {unit}"
        case "times":
            return f"{sign}{value:,.0f} ×" if value >= 100 else f"{sign}{value:.2f} ×"
        case "":
            return f"{sign}{value:,.6g}"
        case _:
            assert_never(unit)


def _days(seconds: float) -> str:
    return f"{seconds / 86400:,.1f} days"


Cell = str | Quantity


@dataclass(frozen=True)
class Heading:
    text: str
    level: int = 2


@dataclass(frozen=True)
class Paragraph:
    text: str


@dataclass(frozen=True)
class Bullets:
    items: tuple[str, ...]
    is_numbered: bool = False


@dataclass(frozen=True)
class Table:
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def __post_init__(self) -> None:
        assert all(len(row) == len(self.columns) for row in self.rows), "a row has a cell for each column"


@dataclass(frozen=True)
class Bar:
    """Parts that lie one after the other."""

    label: str
    parts: tuple[tuple[str, float], ...]
    # name and size


@dataclass(frozen=True)
class Chart:
    """Bars beside each other, all of one unit."""

    title: str
    unit: Unit
    bars: tuple[Bar, ...]
    is_told: bool = False
    # in a table beside it, so that where nothing is drawn nothing has to be said


@dataclass(frozen=True)
class Code:
    language: str
    text: str


Block = Heading | Paragraph | Bullets | Table | Chart | Code


@dataclass(frozen=True)
class Document:
    title: str
    blocks: tuple[Block, ...]


def table(columns: Iterable[str], rows: Iterable[Iterable[Cell]]) -> Table:
    return Table(tuple(columns), tuple(tuple(row) for row in rows))


def size(nbytes: float) -> Quantity:
    return Quantity(nbytes, "bytes")


def names_of(chart: Chart) -> tuple[str, ...]:
    """Of all parts, in the order in which they first come."""
    return tuple(dict.fromkeys(name for bar in chart.bars for name, _ in bar.parts))
