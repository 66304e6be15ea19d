"""`finefit train`: plan, train, receipt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from finefit.errors import BadInput, Problem

from .options import DOES_NOT_FIT, Text, about
from .words import split


def command(
    words: Annotated[list[str] | None, about("JOB.yaml|RUN", "A job file; with --resume, a run folder.")] = None,
    *,
    source: Annotated[
        Text, typer.Option("--from", metavar="FILE", help="In a job's place: a file of axolotl, LLaMA-Factory or TRL.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last complete checkpoint of RUN.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The receipt as one JSON object on stdout.")] = False,
) -> None:
    """Plan a job as `finefit plan` does, train exactly that, end with a receipt.

    What the job leaves open is the fastest that fits this machine's GPUs, checked with the job's own rows. What does
    not fit is not begun: exit code 3, and what would make it fit. On several GPUs (`gpu: 2xRTX4090`), or processes of
    the processor (`gpu: 2xcpu`), each is a rank that is started, watched and stopped with the others. On several
    machines the same command is given to each, with NNODES, NODE_RANK, MASTER_ADDR and perhaps MASTER_PORT in its
    environment, as for torchrun; `gpu` then counts the GPUs of all, and the first machine plans.

    Options named like the keys of a job win over its file, and may be all of it: `--max-steps 20`, `--model FOLDER`.
    With --from, each key of
    the other tool's file is named with what it was read as, or why it was not taken over.
    """
    from finefit import api
    from finefit.nouns.planned import NoFit
    from finefit.nouns.receipt import Receipt
    from finefit.show import json, live, planned, terminal

    instead = "" if resume or source else "its keys as options: --model, --data"
    given = split([*(words or ()), *([source] if source else ())], "RUN" if resume else "JOB.yaml", instead)
    if resume and source:
        raise BadInput(Problem("means nothing with --resume", "--from", "a run that is resumed keeps its job"))
    if resume and given.options:
        why = "a run that is resumed keeps the job it was started with"
        raise BadInput(*(Problem("means nothing with --resume", f"--{name}", why) for name in given.options))
    observer = live.observer()
    try:
        found = api.train(given.about, given.options, resume, observer, is_foreign=bool(source))
    finally:
        observer.close()
    match found:
        case NoFit():
            if as_json:
                json.write(planned.of_planned(found.planned))
            else:
                planned.show(found.planned)
            raise typer.Exit(DOES_NOT_FIT)
        case Receipt() if as_json:
            json.write(json.of_receipt(found))
        case Receipt():
            terminal.show_receipt(found)
        case Path():
            print(f"this machine's share of {found} is done; the first machine has the receipt")
