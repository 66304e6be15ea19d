"""`finefit plan`: the fastest recipe that fits, those behind it, and why the others are passed over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import DOES_NOT_FIT, MODEL, Text, about, job_keys, listed, option, with_recipe
from .words import split

if TYPE_CHECKING:
    from finefit.nouns.job import Job, MethodName

AUTO = "auto"


@with_recipe
def command(
    ctx: typer.Context,
    words: Annotated[list[str], about("MODEL|JOB.yaml", f"{MODEL}; or a job file, whose keys are pinned.")],
    *,
    gpu: Annotated[Text, option("NAME", "Like RTX4090 or 8xH100-80GB; auto: this machine. [auto]")] = None,
    into: Annotated[
        Path | None,
        typer.Option(
            "--output-dir",
            "-o",
            metavar="DIR",
            show_default=False,
            help="Write job, script, DeepSpeed and accelerate files there.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
    **recipe: object,
) -> None:
    """The fastest recipe that fits, and why: micro-batch, how many layers are checkpointed, engine and offload.

    What is given is pinned; --method auto tries full fine-tuning, then LoRA, then QLoRA.
    """
    from finefit import api
    from finefit.search.dials import METHODS
    from finefit.show import json, live, planned

    given = split(words, "MODEL")
    options = given.options | listed(ctx)
    methods: tuple[MethodName, ...] = METHODS if options.get("method") == AUTO else ()
    rest = {key: value for key, value in options.items() if not methods or key != "method"}
    job, notes = job_of(given.about, rest, job_keys(ctx))
    with live.working() as say:
        found = api.plan(job, methods=methods, progress=say)
    found = replace(found, notes=(*notes, *found.notes))
    files = None if found.choice is None else api.plan_files(job, found.choice)
    paths = None if files is None or into is None else api.write_files(into, files)
    if as_json:
        json.write(planned.of_planned(found, paths if files is None or paths else files.texts))
    else:
        planned.show(found)
        if files is not None and paths is not None:
            planned.show_files(files, paths)
    if found.choice is None:
        raise typer.Exit(DOES_NOT_FIT)


def job_of(about: str, options: dict[str, str], keys: set[str]) -> tuple[Job, tuple[str, ...]]:
    from finefit.world.jobs import job_of_options, read_job

    if Path(about).suffix in (".yaml", ".yml"):
        return read_job(about, options, ("model",))
    job, notes = job_of_options(options, keys, is_pinned=False)
    return replace(job, model=about), notes
