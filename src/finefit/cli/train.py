"""`finefit train`: plan, train, receipt."""

from __future__ import annotations

from typing import Annotated

import typer

from finefit.errors import BadInput, Problem

from .options import about
from .words import split


def command(
    words: Annotated[list[str], about("JOB.yaml|RUN", "A job file; with --resume, a run folder.")],
    *,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last complete checkpoint of RUN.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The receipt as one JSON object on stdout.")] = False,
) -> None:
    """Plan a job, train exactly that, end with a receipt.

    Options named like the keys of a job win over its file: `--max-steps 20`, `--model FOLDER`.
    """
    from finefit import api
    from finefit.show import json, live, terminal

    given = split(words, "RUN" if resume else "JOB.yaml")
    if resume and given.options:
        why = "a run that is resumed keeps the job it was started with"
        raise BadInput(*(Problem("means nothing with --resume", f"--{name}", why) for name in given.options))
    observer = live.observer()
    try:
        receipt = api.train(given.about, given.options, resume, observer)
    finally:
        observer.close()
    if as_json:
        json.write(json.of_receipt(receipt))
    else:
        terminal.show_receipt(receipt)
