"""What of a recipe decides how long its step takes on the recipe's GPU."""

from __future__ import annotations

from dataclasses import replace

from finefit.catalog.measured import rates_on
from finefit.estimate.pace.setup import Setup

from .recipe import Recipe


def setup_of(recipe: Recipe, optim: str) -> Setup:
    """`recipe` is of one rank alone; `optim` is what steps the run, in the place of what was rehearsed."""
    assert recipe.machine.gpu is not None
    rates = rates_on(recipe.machine.gpu)
    assert rates is not None, "nobody asks for the time of a card of which none is known"
    alone = replace(recipe.knobs, optim=optim)
    return Setup(recipe.model, recipe.method, alone, rates, recipe.loop, recipe.task, recipe.images)
