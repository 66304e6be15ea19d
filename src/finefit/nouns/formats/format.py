"""What a format of rows is: how it is recognised, what is wrong with a row of it, and what a trainer makes of it.

Knows: rows one by one, as plain values. Does not know: files; tokens; a model's chat template.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Row = Mapping[str, Any]
Columns = dict[str, Any]
"""Of one row, in TRL's names and nothing else: text, or messages of role and content."""

Trained = Literal["turns", "completion", "everything", "pairs"]
TRAINED: dict[Trained, str] = {
    "turns": "the assistant's turns are trained",
    "completion": "the completion is trained",
    "everything": "every token is trained",
    "pairs": "which of two answers is preferred, is trained",
}


@dataclass(frozen=True)
class Said:
    """A piece of a row's text."""

    text: str
    is_message: bool
    # a chat template marks it
    is_answer: bool
    # what the model is to say


@dataclass(frozen=True)
class Format:
    name: str
    keys: frozenset[str]
    # of a row, that are read
    trained: Trained
    how: str
    # it is read, in words
    example: str
    wrong: Callable[[Row, str], str]
    # why a row cannot be trained on, or nothing; and why no row may show images, empty where rows may
    columns: Callable[[Row], Columns]
    # of a row that is right
    said: Callable[[Row], list[Said]]

    @property
    def has_turns(self) -> bool:
        """Whether TRL is asked to tell the assistant's turns from the others (`assistant_only_loss`)."""
        return self.trained == "turns"

    def words(self, assistant_only: bool = True) -> str:
        """How a row is read, and what of it is trained."""
        trained = "everything" if self.has_turns and not assistant_only else self.trained
        return f"{self.name}: {self.how}; {TRAINED[trained]}"


WITH_MESSAGES = "images go with `messages` alone in this version"
