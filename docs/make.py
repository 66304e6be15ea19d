"""Writes what is made from the code: one page a command, from its own help; what is said of broken input; and the
drawing of one training step.

    python docs/make.py [--check]

--check writes nothing and fails where a page is out of date.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import messages

from finefit.nouns.knobs import Knobs
from finefit.nouns.method import LoRA
from finefit.rehearsal.find import find
from finefit.rehearsal.recipe import Recipe
from finefit.show.curve import svg
from finefit.tape.curve import curve_of
from finefit.world.gpus import machine_named
from finefit.world.models import find_model

PAGES = Path(__file__).parent / "commands"
DRAWING = Path(__file__).parent / "step.svg"
MESSAGES = Path(__file__).parent / "messages.md"
COMMANDS = (
    "estimate", "plan", "matrix", "launch", "guide", "data", "train", "receipt", "generate", "chat", "export",
    "prices", "calibrate",
)  # fmt: skip


def main() -> int:
    stale = []
    made = {PAGES / f"{command}.md": page_of(command) for command in COMMANDS}
    made |= {DRAWING: drawing(), MESSAGES: messages.page()}
    for page, text in made.items():
        if page.exists() and page.read_text(encoding="utf-8") == text:
            continue
        stale.append(page.name)
        if "--check" not in sys.argv:
            PAGES.mkdir(exist_ok=True)
            page.write_text(text, encoding="utf-8")
    if "--check" in sys.argv and stale:
        print(f"out of date: {', '.join(stale)}; run python docs/make.py", file=sys.stderr)
        return 1
    return 0


def followed() -> Recipe:
    """The step that docs/how-it-works.md follows."""
    knobs = Knobs(2048, 2, gradient_checkpointing=16)
    return Recipe(find_model("meta-llama/Llama-3.1-8B"), LoRA(), knobs, machine_named("A100-80GB"))


def drawing() -> str:
    """Its memory curve, replayed from the atlas."""
    title = "Llama-3.1-8B, LoRA, 2 × 2,048 tokens, the first 16 of 32 layers checkpointed: one optimizer step"
    return svg(curve_of(find(followed(), lambda _: None).recording), title)


def page_of(command: str) -> str:
    """The command's help, as a user with a terminal of 100 columns sees it."""
    environment = os.environ | {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    shown = subprocess.run(
        [sys.executable, "-m", "finefit", command, "--help"],
        capture_output=True, text=True, check=True, env=environment,
    ).stdout  # fmt: skip
    lines = "\n".join(line.rstrip() for line in shown.strip().splitlines())
    return (
        f"# finefit {command}\n\nMade from the code by `python docs/make.py`; do not edit.\n\n```text\n{lines}\n```\n"
    )


if __name__ == "__main__":
    sys.exit(main())
