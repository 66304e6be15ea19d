"""What a run is told of the tracker that its figures go to, beside what memory was planned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from finefit.nouns.job import Tracker


def tracked(orders: Mapping[str, Any], tracker: Tracker, planned_bytes: int) -> dict[str, Any]:
    """`planned_bytes`: allocated at the peak. A rehearsal tells nobody."""
    if tracker == "none":
        return dict(orders)
    trainer = {**orders["trainer"], "report_to": tracker}
    return {**orders, "trainer": trainer, "planned_bytes": planned_bytes}
