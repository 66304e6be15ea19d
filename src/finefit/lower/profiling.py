"""What a run is told of the steps that are profiled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from finefit.errors import BadInput, Problem
from finefit.nouns.steps import step_range


def profiled(orders: Mapping[str, Any], wished: str | None, steps: int) -> dict[str, Any]:
    """`steps`: of the whole run, known once its rows are. Raises `BadInput` where a step is meant that it does not
    have. Nothing is told where nothing is wished."""
    found = step_range(wished or "")
    if found is None:
        return dict(orders)
    first, last = found
    if last > steps:
        what, why = f"there is no step {last}", f"the run has {steps:,}"
        raise BadInput(Problem(what, "profile_steps", why, f"steps up to {steps}"))
    return {**orders, "profile": {"first": first, "last": last}}
