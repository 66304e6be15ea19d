"""`finefit prices`: what GPUs cost by the hour."""

from __future__ import annotations

import sys
from typing import Annotated

import typer


def command(
    gpu: Annotated[
        str, typer.Argument(metavar="GPU", help="Like RTX4090 or 8xH100-80GB; all cards where none is named.")
    ] = "",
    *,
    refresh: Annotated[
        bool,
        typer.Option("--refresh", help="First fetch today's prices through gpuhunt (extra `prices`) and keep them."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """What a machine with these GPUs costs by the hour, the cheapest first; every price has its date and source.

    FINEFIT_PRICES=FILE.csv puts prices of your own before the shipped ones.
    """
    from finefit import api
    from finefit.show import json, prices

    listing = api.prices(gpu, refresh)
    for note in listing.notes:
        print(f"finefit: {note}", file=sys.stderr)
    if as_json:
        json.write(prices.of_listing(listing))
    else:
        prices.show(listing)
