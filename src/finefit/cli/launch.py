"""`finefit launch`: what starts a plan on many machines."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer


def command(
    job: Annotated[Path, typer.Argument(metavar="JOB.yaml", help="In a folder that `finefit plan -o` wrote.")],
    *,
    to: Annotated[str, typer.Option("--to", metavar="torchrun|slurm|skypilot|dstack", help="What starts it.")],
    nodes: Annotated[int, typer.Option("--nodes", metavar="N", help="Machines that the job's GPUs are in.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Write what starts a plan's script on one machine or many, beside its job, and say the line that hands it over."""
    from finefit import api
    from finefit.show import json

    path, line = api.launch(job, to, nodes)
    if as_json:
        json.write({"files": {path.name: str(path)}, "command": line, "folder": str(path.parent)})
        return
    print(f"wrote {path}")
    print(f"start: cd {shlex.quote(str(path.parent))} && {line}")
