"""Where a run's figures are followed: transformers' own reporters, by their names in `report_to`.

Knows: whether a tracker's package is installed. Does not know: its accounts; their variables stay in the environment.
"""

from __future__ import annotations

from importlib.util import find_spec

from finefit.errors import BadInput, Problem
from finefit.nouns.job import Tracker


def refuse_lacking(tracker: Tracker) -> None:
    """Before anything runs. Raises `BadInput`."""
    if tracker != "none" and find_spec(tracker) is None:
        raise BadInput(Problem(f"{tracker} is not installed", where="report_to", hint=f"pip install {tracker}"))
