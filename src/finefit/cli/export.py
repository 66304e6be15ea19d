"""`finefit export`: a run's result as one model for others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def command(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The folder of a run that is over.", show_default=False)],
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="New, or empty.  [default: RUN/merged]", show_default=False),
    ] = None,
    dtype: Annotated[
        Literal["bfloat16", "float16", "float32"] | None,
        typer.Option(help="Of the saved weights.  [default: that of the run]", show_default=False),
    ] = None,
    original_base: Annotated[
        bool,
        typer.Option(
            "--original-base",
            help="QLoRA: onto the base's own weights, not the dequantised ones that were trained beside.",
        ),
    ] = False,
    gguf: Annotated[bool, typer.Option("--gguf", help="And DIR.gguf, by llama.cpp's own converter.")] = False,
    push_to_hub: Annotated[
        str | None,
        typer.Option(
            metavar="ORG/NAME",
            show_default=False,
            help="And upload DIR there, once it has passed; with HF_TOKEN or `hf auth login`, asked before the merge.",
        ),
    ] = None,
    private: Annotated[
        bool | None,
        typer.Option(
            "--private/--public",
            show_default=False,
            help="Of a new repository. Unlike transformers' own it is private: a model can be made to repeat its "
            "rows, and what was public is not taken back.  [default: private]",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Merge a run's adapter into one model: safetensors, tokenizer, template, model card.

    File by file on the processor. Before it is there, it is read back and compared with what was trained.
    """
    from finefit import api
    from finefit.show import exported, json, live

    with live.working() as say:
        done = api.export(
            run,
            output,
            dtype,
            original_base=original_base,
            as_gguf=gguf,
            push_to_hub=push_to_hub,
            private=private,
            say=say,
        )
    if as_json:
        json.write(exported.to_json(done))
    else:
        exported.show(done)
