"""`finefit estimate`: one pinned recipe, its memory by phase and line."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from .options import DOES_NOT_FIT, MODEL, Text, about, job_keys, listed, option, with_recipe
from .words import split

if TYPE_CHECKING:
    from finefit.nouns.job import Job
    from finefit.nouns.knobs import Knobs


@with_recipe
def command(
    ctx: typer.Context,
    words: Annotated[list[str], about("MODEL", f"{MODEL}.")],
    *,
    gpu: Annotated[Text, option("NAME", "Like RTX4090 or 8xH100-80GB; cpu; auto: this machine. [auto]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
    **recipe: object,
) -> None:
    """The memory of one recipe, by phase and line."""
    from finefit import api
    from finefit.search.preferences import task_of
    from finefit.show import json, live, terminal
    from finefit.world.jobs import job_of_options

    given = split(words, "MODEL")
    keys = job_keys(ctx)
    options = given.options | listed(ctx)
    gpu_name = options.get("gpu", "auto")
    job, notes = job_of_options(options | {"gpu": _known_gpu(gpu_name, api.REFERENCE_GPU)}, keys)
    job = replace(job, model=given.about)
    with live.working() as say:
        if job.task == "generate":
            estimate = api.estimate_answer(
                given.about,
                method=api.method_of(job),
                task=api.answer_of(job),
                knobs=_knobs_to_write(job),
                gpu=gpu_name,
                trust_remote_code=job.trust_remote_code,
                progress=say,
            )
        elif job.data:
            estimate = api.estimate_rows(job, knobs=_knobs(job), gpu=gpu_name, progress=say)
        else:
            estimate = api.estimate(
                given.about,
                method=api.method_of(job),
                knobs=_knobs(job),
                gpu=gpu_name,
                trust_remote_code=job.trust_remote_code,
                images=api.images_of(job),
                task=task_of(job),
                progress=say,
            )
    estimate = replace(estimate, notes=(*notes, *estimate.notes))
    if as_json:
        json.write(json.of_estimate(estimate))
    else:
        terminal.show_estimate(estimate)
    if estimate.verdict == "no":
        raise typer.Exit(DOES_NOT_FIT)


def _known_gpu(name: str, reference: str) -> str:
    """The GPU that an estimate is made for: where none is named and none is here, the reference."""
    from finefit.world.gpus import gpu_here

    return reference if name == "auto" and gpu_here() is None else name


def _knobs(job: Job) -> Knobs:
    """The answers of a run on the same GPU, but every layer checkpointed where none is said."""
    from finefit.search.choice import choose
    from finefit.world.gpus import machine_named

    layers = "all" if job.gradient_checkpointing == "auto" else job.gradient_checkpointing
    wished = replace(job, max_length=job.max_length or _usual_length(job), gradient_checkpointing=layers)
    return choose(wished, machine_named(job.gpu))


def _knobs_to_write(job: Job) -> Knobs:
    from finefit.search.generation import knobs_to_write
    from finefit.world.gpus import machine_named

    length = job.max_length or _usual_length(job, beside=job.max_new_tokens)
    return knobs_to_write(job, length, machine_named(job.gpu))


def _usual_length(job: Job, beside: int = 0) -> int:
    """The model is read for this alone, where no length is said."""
    from finefit.search.choice import usual_length
    from finefit.world.models import find_model

    return usual_length(find_model(job.model, job.trust_remote_code), beside)
