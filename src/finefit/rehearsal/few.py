"""A few layers of recipes' steps, and one more of each part: for a search that asks about many recipes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from finefit.estimate.pace.setup import Setup
from finefit.nouns.engine import Engine
from finefit.nouns.images import Images
from finefit.nouns.knobs import Checkpointing, Knobs
from finefit.nouns.machine import Machine
from finefit.nouns.method import Method
from finefit.nouns.model import Model
from finefit.nouns.recording import Recording
from finefit.nouns.task import ROWS, Training
from finefit.search.engine import of_one_rank
from finefit.tape.affine import Few
from finefit.tape.digest import Digest
from finefit.tape.layers import Layers
from finefit.tape.outline import Outline, Outlines
from finefit.tape.tape import History, Tape

from . import cache
from .build import build, was_built
from .find import as_asked, asked_by, of_atlas
from .recipe import OURS, Recipe
from .timed import setup_of

SHAPES: tuple[Checkpointing, ...] = ("all", 0, 12)
"""All layers checkpointed, none, some: what is recorded together where nothing is known."""


@dataclass
class Rehearsals:
    """Of one model on one machine; tapes are read once, and built where there are none."""

    model: Model
    machine: Machine
    say: Callable[[str], None]
    trust_remote_code: bool = False
    images: Images | None = None
    task: Training = ROWS
    rehearses: bool = True
    # what no tape knows; else it stays unknown
    unknown: set[int] = field(default_factory=set)
    # micro-batches that did, of so few tokens that their products of packed weights are others, or of a history that
    # was not understood
    lacks_tapes: bool = False
    # something stayed unknown, of which no tape tells anything
    _tapes: dict[str, Tape | None] = field(default_factory=dict)
    _built: set[str] = field(default_factory=set)
    # keys of tapes that know whatever can be known
    _outlines: dict[tuple[int, bool], Outlines] = field(default_factory=dict)
    _outlined: dict[tuple[int, bool, Layers], Outline | None] = field(default_factory=dict)

    def begin(self, *, rehearses: bool) -> None:
        """Of one list of recipes."""
        self.rehearses, self.lacks_tapes = rehearses, False
        self.unknown.clear()

    def recipe(self, method: Method, knobs: Knobs, engine: Engine | None) -> Recipe:
        """Of one rank alone."""
        alone, loop = of_one_rank(engine, knobs, OURS)
        return Recipe(self.model, method, alone, self.machine, loop, self.trust_remote_code, self.images, self.task)

    def few(self, method: Method, knobs: Knobs, engine: Engine | None) -> tuple[Few, Setup] | None:
        """None where a few layers do not stand for all."""
        recipe = self.recipe(method, knobs, engine)
        tape = self._tape(recipe)
        found = None if tape is None else self._few_of(recipe, tape)
        return None if found is None else (found, setup_of(recipe, knobs.optim))

    def _few_of(self, recipe: Recipe, tape: Tape) -> Few | None:
        """At the recipe's point, with its micro-batches."""
        history = tape.history_at(recipe.point)
        if history is None or len(set(recipe.layers.lower())) > 1 or not recipe.recorded:
            return None
        numbers = history.numbers(recipe.point)
        if numbers is None:
            return None
        layers, asked = history.layers, asked_by(recipe)
        is_single = asked.micro_batches == 1

        def told(these: Layers) -> Digest | None:
            outline = self._outline(history, these, is_single)
            return None if outline is None else outline.at(numbers, asked)

        more = {letter: told(layers.replace(letter, 2 * letter, 1)) for letter in dict.fromkeys(layers)}
        base, known = told(layers), {letter: digest for letter, digest in more.items() if digest is not None}
        return Few(layers, base, known) if base is not None and len(known) == len(more) else None

    def _outline(self, history: History, layers: Layers, is_single: bool) -> Outline | None:
        """None where the history does not stand for these layers."""
        key = id(history), is_single  # which outlines keep
        if key not in self._outlines:
            self._outlines[key] = Outlines(history, is_single=is_single)
        if (*key, layers) not in self._outlined:
            try:
                self._outlined[*key, layers] = self._outlines[key].of(layers)
            except ValueError:
                self._outlined[*key, layers] = None
        return self._outlined[*key, layers]

    def whole(self, method: Method, knobs: Knobs, engine: Engine | None) -> tuple[Recording, Setup] | None:
        """Every layer; None where no tape knows it."""
        recipe = self.recipe(method, knobs, engine)
        tape = self._tape(recipe)
        found = None if tape is None else tape.at(recipe.point, recipe.layers)
        return None if found is None else (as_asked(found, recipe), setup_of(recipe, knobs.optim))

    def _tape(self, recipe: Recipe) -> Tape | None:
        """One that tells of the recipe's point, where there is any."""
        tape = self._read(recipe.key)
        if self.rehearses and recipe.key not in self._built and _may_tell_more(tape, recipe):
            tape = self._new(recipe)
        if tape is not None and tape.knows(recipe.point):
            return tape
        if tape is not None and (recipe.has_few_tokens or was_built(recipe, tape)):
            self.unknown.add(recipe.knobs.per_device_train_batch_size)
        else:
            self.lacks_tapes = True
        return None

    def _read(self, key: str) -> Tape | None:
        if key not in self._tapes:
            self._tapes[key] = of_atlas(key) or cache.read(key)
        return self._tapes[key]

    def _new(self, recipe: Recipe) -> Tape | None:
        """With those that differ in what is checkpointed alone, which one worker rehearses beside it."""
        self.say("rehearsing recipes that no tape knows: some minutes, once")
        beside = [replace(recipe, knobs=replace(recipe.knobs, gradient_checkpointing=shape)) for shape in SHAPES]
        wanted = {one.key: one for one in (recipe, *beside) if one.recorded or one.key == recipe.key}
        known = {key: tape for key, one in wanted.items() if (tape := self._read(key)) and _may_grow(tape, one)}
        for one in build(list(wanted.values()), known, self.say):
            if one.tape.histories:
                cache.write(one.recipe.key, one.tape)
            self._built.add(one.recipe.key)
            self._tapes[one.recipe.key] = self._tapes[one.recipe.key] if one.lost else one.tape
        return self._tapes[recipe.key]


def _may_tell_more(tape: Tape | None, recipe: Recipe) -> bool:
    """Once it is built."""
    return tape is None or not (tape.knows(recipe.point) or was_built(recipe, tape))


def _may_grow(tape: Tape, recipe: Recipe) -> bool:
    """A tape has one stack, and one recipe's bounds."""
    return tape.stack == cache.installed() and tape.bounds == recipe.bounds
