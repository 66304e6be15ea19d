"""The matrix as a terminal's table, Markdown, HTML, CSV and JSON: the same rows and figures in each."""

from __future__ import annotations

import csv
import json as written
import sys
from collections.abc import Callable, Sequence
from html import escape
from io import StringIO
from typing import Any

from finefit.nouns.engine import Engine, words_of
from finefit.nouns.matrix import Matrix, Row
from finefit.units import GIB

from . import json
from .chart import svg
from .columns import in_columns
from .terminal import console_on

TITLES = (
    "GPU", "GPUs", "method", "verdict", "tier", "engine", "batch", "redone", "GiB", "tokens/s", "hours", "USD",
)  # fmt: skip
RIGHT = frozenset((1, 6, 7, 8, 9, 10, 11))
"""Columns of numbers."""


def of_matrix(matrix: Matrix) -> dict[str, Any]:
    wanted = matrix.wanted
    return {
        "model": matrix.model,
        "rows_trained": wanted.rows,
        "epochs": wanted.epochs,
        "max_length": wanted.length,
        "tokens": wanted.tokens,
        "global_batch_size": matrix.global_batch_size,
        "rows": [of_row(row) for row in matrix.rows],
        "legend": matrix.legend,
        "notes": matrix.notes,
        "seconds": matrix.seconds,
    }


def of_row(row: Row) -> dict[str, Any]:
    """What is not known is null."""
    answer = row.answer
    return {
        "gpu": row.gpu,
        "count": row.count,
        "method": row.method,
        "verdict": row.verdict,
        "tier": row.tier,
        "engine": None if answer is None or answer.engine is None else words_of(answer.engine),
        "zero_stage": None if answer is None else answer.zero_stage,
        "offload": None if answer is None else answer.knobs.offload,
        "micro_batch": None if answer is None else answer.knobs.per_device_train_batch_size,
        "gradient_accumulation_steps": None if answer is None else answer.knobs.gradient_accumulation_steps,
        "layers_checkpointed": None if answer is None else answer.layers_checkpointed,
        "memory_bytes": row.memory_bytes,
        "allocated_bytes": None if answer is None else answer.peak_bytes,
        "high_bytes": None if answer is None else answer.high_bytes,
        "high_may_be_off_by": None if answer is None else answer.off,
        "headroom": row.headroom,
        "tokens_per_second": None if answer is None else answer.tokens_per_second,
        "hours": row.hours,
        "cost": row.cost,
        "usd_per_hour": None if row.offer is None else row.offer.usd_per_hour,
        "provider": None if row.offer is None else row.offer.provider,
        "price_date": None if row.offer is None else row.offer.date,
        "price_source": None if row.offer is None else row.offer.source,
        "why": row.why or None,
    }


def cells(row: Row) -> tuple[str, ...]:
    """As people read it."""
    answer = row.answer
    head = row.gpu, str(row.count), row.method, row.verdict or "not known", row.tier or ""
    if answer is None:
        return (*head, row.why, *([""] * (len(TITLES) - len(head) - 1)))
    return (
        *head,
        _engine_words(answer.engine),
        f"{answer.knobs.per_device_train_batch_size} × {answer.knobs.gradient_accumulation_steps}",
        str(answer.layers_checkpointed),
        f"{answer.high_bytes / GIB:.1f}",
        f"{answer.tokens_per_second:,.0f}",
        "" if row.hours is None else f"{row.hours:,.1f}",
        "" if row.cost is None else f"{row.cost:,.2f}",
    )


def _engine_words(engine: Engine | None) -> str:
    """Without the number of GPUs, which stands beside it."""
    words = "" if engine is None else words_of(engine)
    name, _, away = words.removeprefix("DeepSpeed ").partition(" on ")
    return name + away.partition(",")[1] + away.partition(",")[2]


def head(matrix: Matrix) -> str:
    wanted = matrix.wanted
    epochs = f" × {wanted.epochs:g} epochs" if wanted.epochs != 1 else ""
    return (
        f"{matrix.model}: {wanted.rows:,} rows of {wanted.length:,} tokens{epochs}, {matrix.global_batch_size} a step"
    )


def as_json(matrix: Matrix) -> str:
    return written.dumps(json.plain(of_matrix(matrix)), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def as_csv(matrix: Matrix) -> str:
    """The figures of JSON, a line a row."""
    text = StringIO()
    rows = [of_row(row) for row in matrix.rows]
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_markdown(matrix: Matrix) -> str:
    rule = ["---:" if number in RIGHT else "---" for number, _ in enumerate(TITLES)]
    lines = [TITLES, rule, *(cells(row) for row in matrix.rows)]
    table = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
    below = "\n".join(f"- {line}" for line in (COLUMNS, *matrix.legend, *matrix.notes))
    return f"# {head(matrix)}\n\n{table}\n\n{below}\n"


def as_html(matrix: Matrix) -> str:
    """One file that needs no other."""
    titles = "".join(f"<th>{escape(title)}</th>" for title in TITLES)
    body = "\n".join(_line(cells(row), row.verdict) for row in matrix.rows)
    below = "\n".join(f"<li>{escape(line)}</li>" for line in (COLUMNS, *matrix.legend, *matrix.notes))
    return PAGE.format(title=escape(head(matrix)), chart=svg(matrix), titles=titles, body=body, below=below)


def _line(cells: Sequence[str], verdict: str | None) -> str:
    inner = "".join(
        f'<td class="number">{escape(cell)}</td>' if number in RIGHT else f"<td>{escape(cell)}</td>"
        for number, cell in enumerate(cells)
    )
    return f'<tr class="{verdict or "unknown"}">{inner}</tr>'


PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 15px system-ui, sans-serif; margin: 2em; color-scheme: light dark }}
table {{ border-collapse: collapse }}
th, td {{ padding: 0.2em 0.7em; text-align: left; border-bottom: 1px solid #8884 }}
.number {{ text-align: right; white-space: nowrap }}
.no td, .unknown td {{ opacity: 0.6 }}
svg {{ max-width: 60em }}
</style>
</head>
<body>
<h1>{title}</h1>
{chart}
<table>
<thead><tr>{titles}</tr></thead>
<tbody>
{body}
</tbody>
</table>
<ul>
{below}
</ul>
</body>
</html>
"""
FORMATS: dict[str, Callable[[Matrix], str]] = {
    "markdown": as_markdown, "html": as_html, "json": as_json, "csv": as_csv,
}  # fmt: skip
SUFFIXES = {".md": "markdown", ".html": "html", ".json": "json", ".csv": "csv"}


COLUMNS = (
    "batch: micro-batch × accumulation; redone: layers that are checkpointed; GiB: about what a device shows at most"
)


def show(matrix: Matrix) -> None:
    console = console_on(sys.stdout)
    console.print(head(matrix), style="italic")
    known = [row for row in matrix.rows if row.verdict is not None]
    lines = [(cells(row) if row.answer else cells(row)[:5], "" if row.verdict == "fits" else "dim") for row in known]
    console.print(in_columns(TITLES, lines, RIGHT, TITLES.index("engine"), console.width))
    if len(known) < len(matrix.rows):
        unknown = dict.fromkeys(row.why for row in matrix.rows if row.verdict is None)
        console.print(f"{len(matrix.rows) - len(known)} rows: {', '.join(unknown)}")
    console.print(COLUMNS)
    for line in matrix.legend:
        console.print(line)
    for note in matrix.notes:
        console.print(f"note: {note}", style="dim")
