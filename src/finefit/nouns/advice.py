"""What may be changed about a recipe, and what that does: for one that is too large, or one that leaves memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Direction = Literal["give up", "spend"]
Touches = Literal["nothing", "how it is rounded", "what is read", "what is learnt"]
"""Of the mathematics: the same steps in another way; in another precision, as an engine has it; rows that are cut
elsewhere; what is trained, or how finely."""


@dataclass(frozen=True)
class Effect:
    """Of one recipe."""

    high_bytes: int
    # the most that its device may show
    tokens_per_second: float
    # of all GPUs
    is_checked: bool = True
    # with the allocator; else as recipes like it let expect


@dataclass(frozen=True)
class Advice:
    direction: Direction
    what: str
    keys: Mapping[str, object]
    # of a job, as they would be written
    before: Effect
    after: Effect
    fits: bool
    touches: Touches

    @property
    def saved_bytes(self) -> int:
        """Negative: so much more is taken."""
        return self.before.high_bytes - self.after.high_bytes

    @property
    def time_lost(self) -> float:
        """For as many tokens, as a part of the time before; negative: gained."""
        return self.before.tokens_per_second / self.after.tokens_per_second - 1
