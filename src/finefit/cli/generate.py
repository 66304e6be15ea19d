"""`finefit generate`: answers of a run's adapter, or of a model."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    target: Annotated[str, typer.Argument(metavar="RUN|MODEL", help="A run folder, or a model.", show_default=False)],
    *,
    prompt: Annotated[
        list[str],
        typer.Option(metavar="TEXT", help="What the user says; several are answered each.", show_default=False),
    ],
    max_new_tokens: Annotated[int, typer.Option(metavar="N", min=1, help="Tokens of an answer at most.")] = 128,
    base: Annotated[bool, typer.Option("--base", help="Without the adapter of the run.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Answers of a model, with the adapter of a run."""
    from finefit import api
    from finefit.show import json, live, terminal

    with live.working() as say:
        say("generating")
        answers = api.generate(target, prompt, max_new_tokens, base)
    if as_json:
        json.write(json.of_answers(target, base, prompt, answers))
    else:
        terminal.show_answers(prompt, answers)
