"""Everything that finefit raises on purpose.

FinefitError
├── BadInput       the user's words are wrong: all problems at once, exit code 2
├── RunFailed      a run that had started went wrong: exit code 1
├── NotKnown       no tape knows a recipe, and it may not be rehearsed now: exit code 1
└── Interrupted    the user stopped a run; what is on disk can be resumed: exit code 1

"It does not fit" is an answer (exit code 3), not an error. `assert` is for our own mistakes.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with the input."""

    what: str
    where: str = ""
    # a file with its line, or an option, or a key
    why: str = ""
    hint: str = ""
    # what to try

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        if self.why:
            text += f"\n    why: {self.why}"
        if self.hint:
            text += f"\n    try: {self.hint}"
        return text


class FinefitError(Exception):
    exit_code = 1


class BadInput(FinefitError):
    """All problems of one input, shown together."""

    exit_code = 2

    def __init__(self, *problems: Problem) -> None:
        assert problems, "BadInput needs at least one problem"
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class RunFailed(FinefitError):
    """A started run went wrong. `log` says where its own words are."""

    def __init__(self, what: str, log: str = "") -> None:
        self.what = what
        self.log = log
        super().__init__(what + (f"\n    log: {log}" if log else ""))


class NotKnown(FinefitError):
    """Neither shipped nor cached, and a rehearsal was not wanted."""


class Interrupted(FinefitError):
    """The user stopped the run."""


def nearest(word: str, known: Iterable[str]) -> str:
    """`did you mean 'x'?`, or nothing where no known word is near."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else ""
