"""What of a recipe decides how long its step takes on the recipe's GPU."""

from __future__ import annotations

from dataclasses import replace

from finefit.catalog.rates import rates_of
from finefit.estimate.pace.setup import Setup

from .recipe import Recipe


def setup_of(recipe: Recipe, optim: str) -> Setup:
    """`recipe` is of one rank alone; `optim` is what steps the run, in the place of what was rehearsed."""
    assert recipe.machine.gpu is not None
    rates = rates_of(recipe.machine.gpu.name)
    alone = replace(recipe.knobs, optim=optim)
    return Setup(recipe.model, recipe.method, alone, rates, recipe.loop, recipe.task, recipe.images)
