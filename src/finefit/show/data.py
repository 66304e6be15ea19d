"""What is in a data file, as a terminal's bars and marked text, and as JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from finefit.nouns.data_report import DataReport, Example, histogram, middle
from finefit.nouns.images import LongRow

from .terminal import BAR_CELLS, console_on, facts_table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

SHOWN = 20
"""Bad rows on a terminal; JSON has all."""
MOST_LETTERS = 600
"""Of one piece of an example on a terminal."""
OPEN, CLOSE = "⟦", "⟧"
"""Around what is trained, also where there are no colours."""


def of_report(report: DataReport) -> dict[str, Any]:
    told = asdict(report)
    told.pop("lengths")
    return told | {
        "tokens": _lengths(report),
        "histogram": [asdict(each) for each in histogram(report.lengths)],
        "trained_share": report.trained_share,
        "image_share": report.image_share,
    }


def _lengths(report: DataReport) -> dict[str, int]:
    lengths = report.lengths
    if not lengths:
        return {}
    return {"shortest": min(lengths), "median": middle(lengths), "longest": max(lengths), "total": sum(lengths)}


def show(report: DataReport) -> None:
    console = console_on(sys.stdout)
    console.print(f"{report.path}: {report.rows:,} rows, {_bad_words(report)}", style="bold")
    console.print(f"rows are {report.how}" if report.rows else "no row can be trained on", soft_wrap=True)
    for line in _bad(report):
        console.print(line, soft_wrap=True)
    if report.lengths:
        console.print(_bars(report))
        console.print(facts_table(_facts(report)))
    for check in report.checks:
        mark, why = ("ok", "") if check.is_right else ("WRONG", f": {check.why}")
        console.print(f"{mark}: {check.what}{why}", style="" if check.is_right else "bold yellow", soft_wrap=True)
    for example in report.examples:
        _show_example(console, example)
    for note in report.notes:
        console.print(f"note: {note}", style="dim")


def _bad_words(report: DataReport) -> str:
    return f"{len(report.bad):,} more are bad" if report.bad else "none is bad"


def _bad(report: DataReport) -> Iterator[str]:
    yield from (f"  {row.where}: {row.reason}" for row in report.bad[:SHOWN])
    if len(report.bad) > SHOWN:
        yield f"  and {len(report.bad) - SHOWN:,} more: --json names all"


def _bars(report: DataReport) -> Table:
    from rich.bar import Bar
    from rich.table import Table

    bins = histogram(report.lengths)
    most = max(each.rows for each in bins)
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    table.add_column(justify="right", no_wrap=True)
    for each in bins:
        over = report.max_length is not None and each.low > report.max_length
        bar = Bar(most, 0, each.rows, width=BAR_CELLS)
        span = f"{each.low:,}" if each.low == each.high else f"{each.low:,}-{each.high:,}"
        table.add_row(f"{span} tokens", bar, f"{each.rows:,}", style="bold red" if over else "")
    return table


def _facts(report: DataReport) -> dict[str, str]:
    lengths, share = _lengths(report), report.trained_share
    of = f"{lengths['shortest']:,} to {lengths['longest']:,}, median {lengths['median']:,}, {lengths['total']:,} in all"
    return {
        "tokens": of,
        "counted": report.counted,
        "trained": "" if share is None else f"{100 * share:.1f} % of all tokens",
        "max_length": _over(report),
        **_images(report),
        "said twice": _places(report.repeated, "rows say what an earlier one says"),
        "not read": ", ".join(f"`{key}`" for key in report.unread),
    }


def _images(report: DataReport) -> dict[str, str]:
    shown, share = report.shown, report.image_share
    if shown is None:
        return {}
    (width, height), largest = shown.smallest, shown.largest
    span = f"{width:,} × {height:,}" + (f" to {largest[0]:,} × {largest[1]:,}" if largest != shown.smallest else "")
    told = {"images": f"{report.images:,} in {shown.rows:,} rows, {span}"}
    if share is None:
        return told
    told["in images"] = f"{shown.image_tokens:,} tokens, {100 * share:.1f} % of all"
    if shown.longest is not None and shown.longest_text is not None:
        told["longest row"] = _long(shown.longest)
        if shown.longest_text.where != shown.longest.where:
            told["without images"] = _long(shown.longest_text)
    return told


def _long(row: LongRow) -> str:
    return f"{row.where}: {row.tokens:,} tokens, {row.image_tokens:,} of images"


def _over(report: DataReport) -> str:
    if report.max_length is None:
        return ""
    over = _places(report.over, "rows are longer, and would be refused: no row is cut")
    return f"{report.max_length:,}: {over or 'no row is longer'}"


def _places(places: Sequence[str], what: str) -> str:
    more = ", …" if len(places) > 3 else ""
    return f"{len(places):,} {what}: {', '.join(places[:3])}{more}" if places else ""


def _show_example(console: Console, example: Example) -> None:
    console.print(f"\n{example.where}, {example.tokens:,} tokens; {OPEN}what is trained{CLOSE}", style="bold")
    console.print(_marked(example), soft_wrap=True)


def _marked(example: Example) -> Text:
    from rich.text import Text

    text = Text()
    for piece in example.pieces:
        shown = _shortened(piece.text)
        text.append(f"{OPEN}{shown}{CLOSE}" if piece.is_trained else shown, "green" if piece.is_trained else "")
    return text


def _shortened(text: str) -> str:
    if len(text) <= MOST_LETTERS:
        return text
    half = MOST_LETTERS // 2
    return f"{text[:half]} … {len(text) - MOST_LETTERS:,} letters … {text[-half:]}"
