"""Options of commands that answer, by transformers' names."""

from __future__ import annotations

from typing import Annotated

import typer

from finefit.errors import BadInput, Problem
from finefit.nouns.sampling import Sampling

MaxNewTokens = Annotated[int, typer.Option(metavar="N", min=1, help="Tokens of an answer at most.")]
TopP = Annotated[
    float | None,
    typer.Option(metavar="P", min=0, max=1, help="Draw among the likeliest with this share.", show_default=False),
]
TopK = Annotated[
    int | None, typer.Option(metavar="K", min=1, help="Draw among this many of the likeliest.", show_default=False)
]
Penalty = Annotated[
    float | None,
    typer.Option(metavar="P", min=0.01, help="1 is none; more keeps words from coming again.", show_default=False),
]
Seed = Annotated[int, typer.Option(metavar="N", help="Of what is drawn.")]
Base = Annotated[bool, typer.Option("--base", help="Without the adapter of the run.")]


def drawn(sampling: Sampling) -> Sampling:
    """As it was asked for. Raises `BadInput` where something says how to draw and nothing is drawn."""
    if sampling.temperature == 0:
        given = {"--top-p": sampling.top_p, "--top-k": sampling.top_k}
        why = "at temperature 0 the likeliest token is always taken"
        problems = [Problem("means nothing here", name, why) for name, value in given.items() if value is not None]
        if problems:
            raise BadInput(*problems)
    return sampling
