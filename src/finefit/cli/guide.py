"""`finefit guide`: a whole hardware-requirements document."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from .options import MODEL, Text, about, job_keys, listed, option, with_recipe
from .plan import job_of
from .words import split


@partial(with_recipe, without=("packing",))  # all rows are as long
def command(
    ctx: typer.Context,
    words: Annotated[list[str], about("MODEL|JOB.yaml", f"{MODEL}; or a job file.")],
    *,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="FILE.md or FILE.html.", show_default=False)
    ],
    gpu: Annotated[Text, option("a,b,c", "GPUs to look at, like RTX4090,2xA100-80GB. [eight usual ones]")] = None,
    num_train_epochs: Annotated[Text, option("N", "How often all rows are seen. [1]")] = None,
    rows: Annotated[int | None, typer.Option(metavar="N", min=1, help="Rows of the data. [10000]")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Nothing is rehearsed but the recipe itself; what is left out is named.")
    ] = False,
    **recipe: object,
) -> None:
    """A whole hardware-requirements document for a model or a job; every number in it is computed.

    A recipe that no tape knows is rehearsed once, for some seconds each, and kept.
    """
    from finefit import api
    from finefit.show import live

    given = split(words, "MODEL")
    options = given.options | listed(ctx)
    gpus = [name.strip() for name in options.pop("gpu", "").split(",") if name.strip()]
    api.writer_of(output)
    job, notes = job_of(given.about, options, job_keys(ctx))
    with live.working() as say:
        for note in notes:
            say(note)
        document = api.guide(job, gpus=gpus, rows=rows, is_quick=quick, progress=say)
    api.write_guide(document, output)
