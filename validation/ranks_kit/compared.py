"""Where a rank's bytes differ by more than is allowed."""

from __future__ import annotations

from .phases import Found

PEAK, HELD, LEAST = 0.005, 0.01, 2048
"""Shares of what was measured, and bytes: the scalars of engines, which no recording of one rank has."""


def apart(measured: Found, composed: Found) -> list[str]:
    """In words. Every phase as it begins, at its fullest moment and as it ends, and what is held, kind by kind."""
    found = [
        f"{key} {part}: {nbytes:,} measured, {said - nbytes:+,}"
        for key, three in measured.phases.items()
        for part, nbytes, said in zip(("begins", "peak", "ends"), three, composed.phases[key], strict=True)
        if abs(said - nbytes) > max(PEAK * nbytes, LEAST)
    ]
    return found + [
        f"{what} held: {nbytes:,} measured, {composed.held[what] - nbytes:+,}"
        for what, nbytes in measured.held.items()
        if abs(composed.held[what] - nbytes) > max(HELD * nbytes, LEAST)
    ]
