"""What was found of replays at unseen points."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

ROWS = json.loads((Path(__file__).parents[2] / "validation" / "replay.json").read_text())

KNOBS = ("batch", "length", "rank", "layers", "checkpointed")


def test_every_replay_is_to_the_byte() -> None:
    """Replayed peaks of whole models, each held against a rehearsal of all its layers."""
    assert not [row for row in ROWS if row["replayed_bytes"] != row["rehearsed_bytes"]]


def test_ten_models_were_replayed_at_fifty_points_with_each_method() -> None:
    """At several micro-batches, lengths, ranks, numbers of layers and of checkpointed ones; each point once."""
    points = Counter((row["model"], row["method"]) for row in ROWS)
    assert len(points) == 30
    assert set(points.values()) == {50}
    assert len({tuple(row[name] for name in ("model", "method", *KNOBS)) for row in ROWS}) == len(ROWS)
    assert all(len({row[knob] for row in ROWS}) > 1 for knob in KNOBS)
