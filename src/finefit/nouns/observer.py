"""Whoever wants to hear how a run goes: a terminal, a log, a test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from .plan import Plan


class Observer(Protocol):
    def note(self, text: str) -> None:
        """Something the user should know, in one sentence."""

    def stage(self, text: str) -> None:
        """A long thing begins: `rehearsing`, `loading`, `training`. It lasts until the next stage."""

    def planned(self, plan: Plan) -> None:
        """The plan is made; nothing has started."""

    def event(self, event: Mapping[str, Any]) -> None:
        """One line of events.jsonl."""

    def close(self) -> None:
        """The run is over, or failed."""
