"""`finefit generate`: answers of a run's adapter, or of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from finefit.errors import BadInput, Problem
from finefit.nouns.sampling import Sampling

from .sampling import Base, MaxNewTokens, Penalty, Seed, TopK, TopP, drawn


def command(
    target: Annotated[str, typer.Argument(metavar="RUN|MODEL", help="A run folder, or a model.", show_default=False)],
    *,
    prompt: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="What the user says; several are answered each.", show_default=False),
    ] = None,
    image: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE", help="Shown with every prompt, before its words; several in order.", show_default=False
        ),
    ] = None,
    input_file: Annotated[
        Path | None,
        typer.Option(
            "--input", metavar="FILE", help="A data file: `prompt` or `messages`, also with images.", show_default=False
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE.jsonl", help="They, with `answer`.", show_default=False),
    ] = None,
    batch: Annotated[
        int, typer.Option("--per-device-eval-batch-size", metavar="N", min=1, help="Rows of FILE answered at once.")
    ] = 8,
    max_new_tokens: MaxNewTokens = 128,
    temperature: Annotated[
        float, typer.Option(metavar="T", min=0, help="0: always the likeliest token; more draws.")
    ] = 0.0,
    top_p: TopP = None,
    top_k: TopK = None,
    repetition_penalty: Penalty = None,
    seed: Seed = 0,
    base: Base = False,
    compare: Annotated[bool, typer.Option("--compare", help="Without the adapter and with it.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Answers of a model, with the adapter of a run: to a prompt, or to every row of a file.

    A model that sees is shown images with a prompt, or those of the rows.
    """
    from finefit import api
    from finefit.show import answers, json, live

    _refuse(prompt, image, input_file, output, base and compare)
    sampling = drawn(Sampling(max_new_tokens, temperature, top_p, top_k, repetition_penalty, seed))
    with live.working() as say:
        if input_file is not None and output is not None:
            done = api.generate_file(
                target, input_file, output, sampling, base=base, compared=compare, batch=batch, say=say
            )
            json.write(answers.of_file(done)) if as_json else answers.show_file(done)
            return
        say("generating")
        asked = prompt or []
        if compare:
            before, after = api.compare(target, asked, sampling, image or ())
        else:
            before, after = None, api.generate(target, asked, sampling, base, image or ())
    if as_json:
        json.write(answers.to_json(target, base, asked, after, before, image or ()))
    else:
        answers.show(asked, after, before)


def _refuse(
    prompt: list[str] | None, image: list[str] | None, given: Path | None, output: Path | None, is_both: bool
) -> None:
    problems = []
    if not prompt and given is None:
        problems.append(Problem("nothing is asked", hint="--prompt TEXT, or --input FILE --output FILE.jsonl"))
    if prompt and given is not None:
        problems.append(Problem("means nothing with --input", where="--prompt"))
    if image and given is not None:
        problems.append(Problem("means nothing with --input, whose rows say what they show", where="--image"))
    if (given is None) != (output is None):
        missing = "--input" if given is None else "--output"
        problems.append(Problem(f"needs {missing}", where="--output" if given is None else "--input"))
    if is_both:
        problems.append(Problem("means nothing with --compare, which shows both", where="--base"))
    if problems:
        raise BadInput(*problems)
