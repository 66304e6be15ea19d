"""A few layers of a recipe's step, and one more of each part: for a search that asks about many recipes."""

from __future__ import annotations

from finefit.catalog.atlas import tape_bytes
from finefit.tape.affine import Few
from finefit.tape.tape import Tape
from finefit.tape.written import decode

from . import cache
from .find import as_asked
from .recipe import Recipe


def tape_of(recipe: Recipe) -> Tape | None:
    data = tape_bytes(recipe.key)
    return cache.read(recipe.key) if data is None else decode(data)


def few_of(recipe: Recipe, tape: Tape) -> Few | None:
    """At the recipe's point, with its micro-batches; None where the tape does not know it, or its layers are of several
    kinds."""
    history = tape.history_at(recipe.point)
    if history is None or len(set(recipe.layers.lower())) > 1:
        return None
    layers = history.layers
    base = history.at(recipe.point, layers)
    more = {letter: history.at(recipe.point, layers.replace(letter, 2 * letter, 1)) for letter in dict.fromkeys(layers)}
    if base is None or any(longer is None for longer in more.values()):
        return None
    asked = {letter: as_asked(longer, recipe) for letter, longer in more.items() if longer is not None}
    return Few(layers, as_asked(base, recipe), asked)
