"""What was found of replays at unseen points."""

from __future__ import annotations

import json
from pathlib import Path

ROWS = json.loads((Path(__file__).parents[2] / "validation" / "replay.json").read_text())


def test_every_stored_replay_is_within_a_thousandth() -> None:
    """Replayed peaks of whole models, each held against a rehearsal of all its layers."""
    answered = [row for row in ROWS if row["replayed_bytes"] is not None]
    assert len(answered) >= 20
    for row in answered:
        assert abs(row["replayed_bytes"] / row["rehearsed_bytes"] - 1) <= 0.001, row
