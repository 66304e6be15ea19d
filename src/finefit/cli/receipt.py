"""`finefit receipt`: predicted beside measured, of a run that is over."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run folder.", show_default=False)],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """What a run was predicted to take, and what it took."""
    from finefit import api
    from finefit.show import json, terminal

    receipt = api.read_receipt(run)
    if as_json:
        json.write(json.of_receipt(receipt))
    else:
        terminal.show_receipt(receipt)
