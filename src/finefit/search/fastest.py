"""The fastest of many recipes whose most is on the card.

Of a family (recipes that differ in how many layers are checkpointed) each takes more than the one before that
checkpoints a layer more, so where one does not fit, no faster one of its family does. Only those between what certainly
does not fit (what is allocated is already too much) and what certainly does are checked with the allocator.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from finefit.nouns.planned import Candidate, Family, Weighed

NEVER = (math.inf, 0, "")
USUAL_RATIO = 1.09
"""Of the most that may be reserved over what is allocated, before any was checked."""

STEADY = 0.005
"""By less differs what is reserved over what is allocated, between recipes that checkpoint a layer more or less."""

Check = Callable[[Candidate], int]
"""With the allocator: the most that the device may show."""


@dataclass
class Search:
    """One GPU's limit, and what was checked so far."""

    limit_bytes: int
    beside_bytes: int
    # the most that is taken beside torch's allocator
    check: Check
    known: dict[Candidate, int] = field(default_factory=dict)

    def fits(self, candidate: Candidate) -> bool:
        if self.is_hopeless(candidate):
            return False
        if candidate not in self.known:
            self.known[candidate] = self.check(candidate)
        return self.known[candidate] <= self.limit_bytes

    def is_hopeless(self, candidate: Candidate) -> bool:
        """What is allocated is too much already, or what one of its family reserved more says so."""
        if candidate.least_bytes + self.beside_bytes > self.limit_bytes:
            return True
        alike = [one for one in self.known if one.family == candidate.family]
        expected = self.weighed(candidate).high_bytes
        return bool(alike) and candidate not in self.known and expected > self.limit_bytes * (1 + STEADY)

    def seems_to_fit(self, candidate: Candidate) -> bool:
        return self.weighed(candidate).high_bytes <= self.limit_bytes

    def weighed(self, candidate: Candidate) -> Weighed:
        """As far as those that were checked tell."""
        if candidate in self.known:
            return Weighed(candidate, self.known[candidate], is_checked=True)
        high = candidate.peak_bytes * self._ratio(candidate) + self.beside_bytes
        return Weighed(candidate, int(high), is_checked=False)

    def fastest(self, family: Sequence[Candidate], than: Candidate | None) -> Candidate | None:
        """Of a family, the fastest that fits and is faster than another; its members are in order of speed, the slowest
        first."""
        members = [one for one in family if than is None or order(one) < order(than)]
        low, high = -1, len(members)
        guess = sum(1 for one in members if self.seems_to_fit(one)) - 1
        while high - low > 1:
            middle = guess if low < guess < high else (low + high) // 2
            if self.fits(members[middle]):
                low, guess = middle, middle + 1
            else:
                high, guess = middle, middle - 1
        return None if low < 0 else members[low]

    def promise(self, members: Sequence[Candidate]) -> tuple[float, int, str]:
        return min((order(one) for one in members if self.seems_to_fit(one)), default=NEVER)

    def _ratio(self, candidate: Candidate) -> float:
        """Of the most that may be reserved over what is allocated: of the nearest that was checked."""
        alike = [one for one in self.known if one.engine == candidate.engine and one.method == candidate.method]
        if not alike:
            return USUAL_RATIO
        nearest = min(
            alike, key=lambda one: (one.family != candidate.family, abs(one.peak_bytes - candidate.peak_bytes))
        )
        return (self.known[nearest] - self.beside_bytes) / nearest.peak_bytes


def order(candidate: Candidate) -> tuple[float, int, str]:
    """The fastest first; of two equally fast ones, the smaller."""
    return candidate.seconds_per_token, candidate.peak_bytes, repr(candidate.knobs)


def families(candidates: Iterable[Candidate]) -> dict[Family, list[Candidate]]:
    """Each in the order of its bytes, so the slowest first."""
    found: dict[Family, list[Candidate]] = {}
    for one in candidates:
        found.setdefault(one.family, []).append(one)
    return {family: _descending(members) for family, members in found.items()}


def _descending(members: list[Candidate]) -> list[Candidate]:
    """Without those that take more and are no faster."""
    kept: list[Candidate] = []
    for one in sorted(members, key=lambda each: (each.peak_bytes, order(each))):
        if not kept or order(one) < order(kept[-1]):
            kept.append(one)
    return kept


def choose_of(candidates: Iterable[Candidate], search: Search) -> Candidate | None:
    """Families that seem to have the fastest first, so that the others have little left to be faster with."""
    best: Candidate | None = None
    for members in sorted(families(candidates).values(), key=search.promise):
        best = search.fastest(members, best) or best
    return best
