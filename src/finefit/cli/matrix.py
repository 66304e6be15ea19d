"""`finefit matrix`: every GPU, number of them and method for one model."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from .options import MODEL, Text, about, job_keys, listed, option, with_recipe
from .words import split

if TYPE_CHECKING:
    from finefit.errors import Problem
    from finefit.nouns.job import Job

OTHERS = (
    "task", "method", "data", "on_bad_row", "reference", "reference_bits", "max_new_tokens", "num_beams",
    "cache_implementation", "base", "packing",
)  # fmt: skip
"""Options of recipes that are no training step of rows, that change nothing where all are as long, or that the matrix
has in other words."""
Value = TypeVar("Value")


@partial(with_recipe, without=OTHERS)
def command(
    ctx: typer.Context,
    words: Annotated[list[str], about("MODEL", f"{MODEL}.")],
    *,
    gpu: Annotated[Text, option("A,B", "Cards, like RTX4090,A100-80GB. [all]")] = None,
    count: Annotated[Text, option("N,M", "How many of each. [1,2,4,8]")] = None,
    methods: Annotated[Text, option("A,B", "Of full, lora, qlora4 and qlora8. [full,lora,qlora4]")] = None,
    rows: Annotated[Text, option("N", "Rows to train on, each as long as the longest. [10000]")] = None,
    epochs: Annotated[Text, option("E", "How often. [1]")] = None,
    tokens: Annotated[Text, option("N", "To train on, in the place of rows and epochs.")] = None,
    rehearse: Annotated[
        bool, typer.Option("--rehearse", help="What no tape knows is rehearsed and kept: some minutes, once.")
    ] = False,
    form: Annotated[
        Text, typer.Option("--format", metavar="terminal|markdown|html|json|csv", help="[terminal, or by FILE]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
    output: Annotated[Text, typer.Option("-o", "--output", metavar="FILE", help="Write it there.")] = None,
    **recipe: object,
) -> None:
    """What fits, how fast and for how much: every GPU of the catalogue, 1, 2, 4 and 8 of it, by every method."""
    from finefit import api, whole
    from finefit.errors import BadInput, Problem
    from finefit.nouns.job import MethodName
    from finefit.show import live, matrix

    given = split(words, "MODEL")
    problems: list[Problem] = []
    options = {key: value for key, value in (given.options | listed(ctx)).items() if key != "gpu"}
    job = _job(options, job_keys(ctx) - {"gpu"}, problems)
    asked: dict[str, Any] = {
        "gpus": _each(gpu, "gpu", _card, problems),
        "counts": _each(count, "count", _whole, problems) or api.COUNTS,
        "methods": _each(methods, "methods", _one_of(MethodName), problems) or api.METHODS,
        "rows": _one(rows, "rows", _whole, problems),
        "epochs": _one(epochs, "epochs", _positive, problems) or 1.0,
        "tokens": _one(tokens, "tokens", _whole, problems),
    }
    if tokens is not None and (rows is not None or epochs is not None):
        problems.append(Problem("says the same as rows and epochs", where="--tokens", hint="leave one out"))
    kind = _format(form, as_json, output, problems)
    if problems or job is None:
        raise BadInput(*problems)
    with live.working() as say:
        found = api.matrix(replace(job, model=given.about), rehearses=rehearse, progress=say, **asked)
    if kind is None:
        matrix.show(found)
    elif output is None:
        sys.stdout.write(matrix.FORMATS[kind](found))
    else:
        whole.write(Path(output), matrix.FORMATS[kind](found))


def _job(options: dict[str, str], keys: set[str], problems: list[Problem]) -> Job | None:
    from finefit.errors import BadInput
    from finefit.world.jobs import job_of_options

    try:
        return job_of_options(options, keys, is_pinned=False).job
    except BadInput as error:
        problems += error.problems
        return None


def _each(text: str | None, name: str, read: Callable[[str], Value], problems: list[Problem]) -> tuple[Value, ...]:
    """Of a list with commas, each once; none where nothing is said."""
    found = [_one(word.strip(), name, read, problems) for word in (text or "").split(",") if text is not None]
    return tuple(dict.fromkeys(value for value in found if value is not None))


def _one(text: str | None, name: str, read: Callable[[str], Value], problems: list[Problem]) -> Value | None:
    from finefit.errors import BadInput, Problem

    if text is None:
        return None
    try:
        return read(text)
    except BadInput as error:
        problems += [replace(problem, where=f"--{name}") for problem in error.problems]
    except ValueError as error:
        problems.append(Problem(f"'{text}' is {error}", where=f"--{name}"))
    return None


def _card(text: str) -> Any:
    from finefit.catalog.gpus import gpu_named
    from finefit.errors import BadInput, Problem

    count, times, name = text.partition("x")
    if times and count.isdecimal():
        raise BadInput(Problem(f"'{text}' has a number", hint=f"--gpu {name} --count {count}"))
    return gpu_named(text)


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ValueError("no whole number from 1 on")
    return int(text)


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ValueError("no number above 0")
    return value


def _one_of(kinds: Any) -> Callable[[str], Any]:
    from typing import get_args

    def read(text: str) -> str:
        if text not in get_args(kinds):
            raise ValueError(f"none of {', '.join(get_args(kinds))}")
        return text

    return read


def _format(form: str | None, as_json: bool, output: str | None, problems: list[Problem]) -> str | None:
    """None: for the terminal."""
    from finefit.errors import Problem
    from finefit.show.matrix import FORMATS, SUFFIXES

    if output is not None and not Path(output).parent.is_dir():
        problems.append(Problem(f"there is no folder {Path(output).parent}", where="--output"))
    if as_json and form not in (None, "json"):
        problems.append(Problem(f"--json is not {form}", where="--format", hint="leave one out"))
    kind = "json" if as_json else form or SUFFIXES.get(Path(output).suffix if output else "", "")
    if kind in FORMATS:
        return kind
    if output is not None:
        known = ", ".join(FORMATS)
        problems.append(Problem(f"a file has one of {known}", where="--format", hint="name it, or end FILE in .md"))
    elif kind not in ("", "terminal"):
        problems.append(Problem(f"'{kind}' is none of terminal, {', '.join(FORMATS)}", where="--format"))
    return None
