"""What finished runs on a GPU say of the next one there.

Knows: measured seconds of a step over the predicted ones, of the last `KEPT` runs whose predictions rested on the same
rates. Their median corrects the next prediction, but not wholly: recipes on one card differ among each other, too, and
one run says little. So the correction is what `PRIOR` runs that met their predictions would leave of it.
Does not know: whether the next recipe is like those before.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

KEPT = 19
"""Of n runs that are alike, the next lies between the least and the most of those with probability (n - 1) / (n + 1):
with 19, nine of ten."""
PRIOR = 2
"""Published runs, each corrected by one other on its card, were off by 20 % in the mean with 2 or 3 of these, 23 % with
none, and 22 % without a correction; by nine others by 13 %, without 14 %. A test holds it against the file."""


def correction(ratios: Sequence[float]) -> float:
    """By which predicted seconds are multiplied."""
    last = ratios[-KEPT:]
    return float(median(last) ** (len(last) / (len(last) + PRIOR))) if last else 1.0


def seen(ratios: Sequence[float]) -> tuple[float, float] | None:
    """Between which nine of ten runs like those lie; None where there are too few."""
    last = ratios[-KEPT:]
    return (min(last), max(last)) if len(last) == KEPT else None


def words(ratios: Sequence[float]) -> str:
    last = ratios[-KEPT:]
    runs = "1 run" if len(last) == 1 else f"{len(last)} runs"
    return (
        f"runs on this GPU took {median(last):.2f}× of the predicted time, {runs}: counted as {correction(ratios):.2f}×"
    )
