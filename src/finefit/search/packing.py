"""Rows that share a sequence: whether they may, and what an estimate supposes of them."""

from __future__ import annotations

from finefit.catalog.attention import APART
from finefit.errors import BadInput, Problem
from finefit.nouns.knobs import Knobs
from finefit.nouns.model import Model


def refuse_mixed(knobs: Knobs, model: Model) -> None:
    """Raises `BadInput` where rows of one sequence may see each other."""
    if knobs.packing and model.config.get("model_type") not in APART:
        why = "rows that share a sequence were not seen to stay apart in it"
        what = f"{model.config.get('model_type')} is not packed"
        raise BadInput(Problem(what, where="packing", why=why, hint="leave it out"))


def supposed_of(knobs: Knobs) -> tuple[str, ...]:
    """What an estimate supposes."""
    if not knobs.packing:
        return ()
    full = f"every micro-batch is full: one sequence of {knobs.length:,} tokens, of several rows"
    return (f"{full}; attention has a mask, and is computed between all of them, also where rows are kept apart",)
