"""Answers beside what was asked."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .terminal import console_on

if TYPE_CHECKING:
    from finefit.nouns.sampling import AnsweredFile


def show(prompts: Sequence[str], answers: Sequence[str], before: Sequence[str] | None = None) -> None:
    """Answers alone where there is one; with what was asked where there are several; beside those of before."""
    console = console_on(sys.stdout)
    for number, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        if len(prompts) > 1:
            console.print(prompt, style="bold", markup=False)
        if before is not None:
            _part("before", before[number])
            _part("after", answer)
        else:
            print(answer, flush=True)


def _part(title: str, answer: str) -> None:
    console_on(sys.stdout).print(f"{title}:", style="dim")
    print(answer, flush=True)


def to_json(
    target: str,
    base: bool,
    prompts: Sequence[str],
    answers: Sequence[str],
    before: Sequence[str] | None = None,
    images: Sequence[str] = (),
) -> dict[str, Any]:
    """`images`: shown with each prompt."""
    rows: list[Mapping[str, str]] = []
    for number, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        beside = {} if before is None else {"base_answer": before[number]}
        rows.append({"prompt": prompt, **beside, "answer": answer})
    shown = {"images": list(images)} if images else {}
    return {"target": target, "base": base, **shown, "answers": rows}


def of_file(done: AnsweredFile) -> dict[str, Any]:
    return dict(vars(done))


def show_file(done: AnsweredFile) -> None:
    speed = f", {done.tokens / done.seconds:.0f} tokens/s" if done.seconds else ""
    console_on(sys.stdout).print(f"{done.output}: {done.rows:,} rows answered with {done.tokens:,} tokens{speed}")
