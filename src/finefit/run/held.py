"""What each rank of a run held between two steps, beside what was predicted.

Knows: bytes of parameters, gradients and the optimizer's state, of every rank. Does not know: the peaks of phases,
which on a processor are measured in a run of one process alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from finefit.nouns.receipt import PhaseGap

from .events import Event

UNMEASURED = (
    "measured is what every rank held between two steps, and not the peaks of phases: on several processes of a "
    "processor nothing records them"
)


def ranks_of(events: Sequence[Event]) -> tuple[Mapping[str, int], ...]:
    """As it was last measured; nothing where one process ran."""
    found = [event["ranks"] for event in events if event["event"] == "measured" and event["kind"] == "held"]
    return tuple(found[-1]) if found else ()


def gaps(predicted: Mapping[str, int], ranks: Sequence[Mapping[str, int]]) -> tuple[PhaseGap, ...]:
    """Of the rank that holds most of each kind, and of all kinds together."""
    if not predicted or not ranks:
        return ()
    kinds = [PhaseGap(kind, nbytes, max(rank[kind] for rank in ranks)) for kind, nbytes in predicted.items()]
    together = max(sum(rank.values()) for rank in ranks)
    return (*kinds, PhaseGap("together", sum(predicted.values()), together))
