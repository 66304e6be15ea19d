"""What ranks held, beside what was predicted."""

from __future__ import annotations

from finefit.run.held import gaps, ranks_of

PREDICTED = {"parameters": 100, "gradients": 0, "optimizer state": 60}
RANKS = (
    {"parameters": 100, "gradients": 0, "optimizer state": 50},
    {"parameters": 90, "gradients": 0, "optimizer state": 61},
)


def test_each_kind_is_that_of_the_rank_that_has_most_of_it() -> None:
    """All together is one rank's, and not a sum of the most of each."""
    found = {gap.phase: (gap.predicted_bytes, gap.measured_bytes) for gap in gaps(PREDICTED, RANKS)}
    assert found == {
        "parameters": (100, 100),
        "gradients": (0, 0),
        "optimizer state": (60, 61),
        "together": (160, 151),
    }


def test_one_process_holds_nothing_that_is_told() -> None:
    """Nor does a plan from before engines were trained; the last measurement counts."""
    assert gaps({}, RANKS) == gaps(PREDICTED, ()) == ()
    assert ranks_of([{"event": "measured", "kind": "recorder", "file": "x"}]) == ()
    events = [{"event": "measured", "kind": "held", "ranks": [one]} for one in RANKS]
    assert ranks_of(events) == RANKS[1:]
