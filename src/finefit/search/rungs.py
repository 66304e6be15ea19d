"""What to try next where a recipe takes more than was foreseen: one rung lower, and never more.

A rung lower more layers are checkpointed; below those are smaller micro-batches with more accumulation. The global
batch and the mathematics stay.
"""

from __future__ import annotations

from collections.abc import Sequence

from finefit.nouns.planned import Candidate

from .fastest import Search, families, order


def rungs(among: Sequence[Candidate], first: Candidate) -> list[Candidate]:
    """Those below `first`, of each micro-batch the fastest first."""
    of = families(among)
    alike = [one for one in of.get(first.family, []) if order(one) > order(first)]
    smaller = [family for family in of if family.micro_batch < first.family.micro_batch]
    lower = [of[family] for family in sorted(smaller, key=lambda family: -family.micro_batch)]
    return [one for members in (alike, *lower) for one in reversed(members)]


def next_rung(below: Sequence[Candidate], tried: Search, is_last: bool) -> Candidate | None:
    """The first that takes less than all that were tried, and seems to fit as far as these tell; where none does, and
    in the last try, the one that takes least. None: nothing takes less."""
    least = min(one.peak_bytes for one in tried.known)
    left = [one for one in below if one.peak_bytes < least]
    if not left:
        return None
    lowest = min(left, key=lambda one: one.peak_bytes)
    return lowest if is_last else next(filter(tried.seems_to_fit, left), lowest)
