"""Tapes that answer everywhere: recipes rehearsed at chosen points until their histories are trusted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from finefit.lower.layers import told
from finefit.nouns.recording import Recording
from finefit.run import worker
from finefit.tape.points import Free, first_points, further_points
from finefit.tape.sizes import Point
from finefit.tape.tape import Take, Tape
from finefit.units import human_seconds

from .recipe import Recipe, take_of

NOTHING: Mapping[str, Tape] = {}
ROUNDS = 8
"""Of rehearsals: the first points; proofs; points that their histories lack."""


SAID_EVERY_SECONDS = 10
Say = Callable[[str], None]


@dataclass(frozen=True)
class Asked:
    recipe: Recipe
    point: Point
    proves: bool
    # that a few layers stand for all: with one more of each unit

    @property
    def takes(self) -> list[list[Any]]:
        """As the worker is told: the layers, all of them where no few stand for them, and the point."""
        every = tuple(range(len(self.recipe.layers)))
        recorded = told(self.recipe.layers, self.recipe.recorded or (every,))
        at = [self.point.batch, self.point.length, self.point.rank]
        return [[kept, *at] for kept in (recorded if self.proves else recorded[:1])]


@dataclass(frozen=True)
class Built:
    recipe: Recipe
    tape: Tape
    lost: tuple[Point, ...] = ()
    # whose layers do not extend

    @property
    def is_trusted(self) -> bool:
        return not self.lost and all(history.formulas is not None for history in self.tape.histories)


def build(recipes: Sequence[Recipe], known: Mapping[str, Tape] = NOTHING, say: Say = lambda _: None) -> list[Built]:
    """Recipes that differ in what is checkpointed alone: one worker rehearses them all. `known`: tapes by their keys
    that only need what they lack. `say`: hears how it gets on."""
    built = {recipe.key: Built(recipe, known.get(recipe.key, Tape((), recipe.bounds, {}))) for recipe in recipes}
    asked = [each for one in built.values() for each in _wanted(one)]
    for number in range(ROUNDS):
        if not asked:
            break
        what = "recipes that no tape knows" if number == 0 else "what these left open"
        stack, takes = _rehearsed(asked, Progress(f"rehearsing {what}", say))
        if takes is None:
            return [replace(one, lost=(one.recipe.point,)) for one in built.values()]
        unproven = []
        for each, take in zip(asked, takes, strict=True):
            before = built[each.recipe.key]
            tape = replace(before.tape, stack=stack).with_take(take)
            is_lost = not any(take.point in history.points for history in tape.histories)
            if is_lost and not each.proves and each.recipe.recorded:
                unproven.append(replace(each, proves=True))
            lost = (*before.lost, take.point) if is_lost and each.proves else before.lost
            built[each.recipe.key] = replace(before, tape=tape, lost=lost)
        asked = unproven or [each for one in built.values() for each in _wanted(one)]
    return list(built.values())


def was_built(recipe: Recipe, tape: Tape) -> bool:
    """What it does not know, further rehearsals did not tell."""
    known = {point for history in tape.histories for point in history.points}
    return known.issuperset(first_points(recipe.bounds, _free(recipe)))


def _free(recipe: Recipe) -> Free:
    """A tape with images is of one micro-batch."""
    rank = None if recipe.point.rank and recipe.rank_is_free else recipe.point.rank
    if recipe.images is None:
        return Free(rank, recipe.point.sequences, most=recipe.model.positions, is_flat=recipe.knobs.packing)
    return Free(rank, recipe.point.sequences, recipe.point.batch, recipe.least_length)


def _wanted(built: Built) -> Iterator[Asked]:
    """The first points; then what the histories lack that they told."""
    recipe, histories, free = built.recipe, built.tape.histories, _free(built.recipe)
    known = {point for history in histories for point in history.points} | set(built.lost)
    missing = [point for point in first_points(recipe.bounds, free) if point not in known]
    wanted = missing or [point for point in further_points(built.tape, free) if point not in built.lost]
    for number, point in enumerate(wanted):
        yield Asked(recipe, point, proves=bool(recipe.recorded) and not known and number == 0)


@dataclass
class Progress:
    """Of one worker's rehearsals, which tells of each as it is done."""

    what: str
    say: Say
    count: int = 0
    done: int = 0
    started: float = 0.0
    said: float = 0.0

    def begin(self, count: int) -> None:
        self.count, self.started = count, time.monotonic()

    def heard(self, _event: Mapping[str, Any]) -> None:
        self.done, now = self.done + 1, time.monotonic()
        if self.done == self.count or (self.said and now - self.said < SAID_EVERY_SECONDS):
            return
        self.said = now
        left = (now - self.started) / self.done * (self.count - self.done)
        self.say(f"{self.what}: {self.done} of {self.count}, about {human_seconds(left)} left")


def _rehearsed(asked: Sequence[Asked], progress: Progress) -> tuple[Mapping[str, str], Iterator[Take] | None]:
    """Versions, and what was recorded; None where the layers are of other kinds than the recipes say."""
    orders = asked[0].recipe.orders
    takes = [take for each in asked for take in each.takes]
    orders = orders | {"rehearsal": orders["rehearsal"] | {"layers": [], "takes": takes}}
    progress.begin(len(takes))
    answer = worker.ask("rehearse", orders, progress.heard)
    if not answer["alike"]:
        return answer["stack"], None
    return answer["stack"], _taken(asked, [Recording.from_json(recording) for recording in answer["takes"]])


def _taken(asked: Sequence[Asked], recordings: list[Recording]) -> Iterator[Take]:
    for each in asked:
        yield take_of(each.recipe, each.point, [recordings.pop(0) for _ in each.takes])
