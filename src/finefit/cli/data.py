"""`finefit data`: what is in a data file."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import MODEL, about, option

BAD_ROWS = 2
"""The exit code."""


def command(
    file: Annotated[str, about("FILE", "JSONL, JSON, CSV or Parquet; or rows of the hub: org/name:split.")],
    *,
    model: Annotated[
        str | None, option("MODEL", f"{MODEL}: rows are counted and written as its trainer would.")
    ] = None,
    max_length: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Rows with more tokens are named. [the model's own limit]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything as one JSON object on stdout.")] = False,
) -> None:
    """Scan a data file before training: format, every bad row, lengths, what is trained, three rows as written.

    Exit code 2 where rows are bad.
    """
    from finefit import api
    from finefit.show import data, json, live

    with live.working() as say:
        report = api.data(file, model=model, max_length=max_length, progress=say)
    if as_json:
        json.write(data.of_report(report))
    else:
        data.show(report)
    if report.bad:
        raise typer.Exit(BAD_ROWS)
