"""The recording of an answer: from the atlas, from the cache, or rehearsed now, at the places that all of it follows
from.

A tape of writing has points whose length is a prompt's. Where sizes depend on how much will be written (beams, a static
cache), a point says that too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from finefit.catalog.atlas import tape_bytes
from finefit.errors import NotKnown
from finefit.lower.generation import generation_orders
from finefit.lower.layers import told
from finefit.nouns.knobs import Knobs
from finefit.nouns.machine import Machine
from finefit.nouns.method import Method
from finefit.nouns.model import Model
from finefit.nouns.recording import Recording
from finefit.nouns.task import Generate
from finefit.run import worker
from finefit.tape.generation import RECORDED, Anchor, Answer, prompts
from finefit.tape.layers import Kept
from finefit.tape.sizes import Point
from finefit.tape.tape import Bounds, Tape
from finefit.tape.written import decode

from . import cache
from .find import EVERY_LAYER, Found, on_card
from .recipe import Recipe, take_of

LARGEST_UNDEQUANTISED = 512
"""Rows of a 4-bit product up to which no dequantised copy is assumed (`worker/rules/bitsandbytes.py`)."""


@dataclass(frozen=True)
class Writing:
    """All that a recording of an answer depends on."""

    model: Model
    method: Method
    # full where there are no adapters, and nothing is packed
    knobs: Knobs
    # nothing of what trains is read
    machine: Machine
    task: Generate
    trust_remote_code: bool = False

    @property
    def prompt(self) -> int:
        return self.knobs.max_length

    @property
    def last(self) -> int:
        """Tokens of a row as the last one is written, which nobody reads again."""
        return self.prompt + self.task.max_new_tokens - 1

    @property
    def steps(self) -> int:
        return min(RECORDED, self.task.max_new_tokens - 1)

    @cached_property
    def recipe(self) -> Recipe:
        """The same model in training, of which nothing is checkpointed: its layers are these."""
        knobs = Knobs(
            max_length=self.prompt,
            per_device_train_batch_size=self.knobs.per_device_train_batch_size,
            gradient_checkpointing=0,
            dtype=self.knobs.dtype,
            mixed_precision="no",
            attn_implementation=self.knobs.attn_implementation,
        )
        return Recipe(self.model, self.method, knobs, self.machine, trust_remote_code=self.trust_remote_code)

    @cached_property
    def prompts(self) -> tuple[int, ...]:
        return prompts(self.prompt, self.task.max_new_tokens, self._windows)

    @property
    def meets_bounds(self) -> bool:
        return any(self.prompt <= bound <= self.last for bound in self._windows)

    @property
    def _windows(self) -> tuple[int, ...]:
        return self.recipe.bounds.lengths

    @property
    def bounds(self) -> Bounds:
        """A prompt whose first steps go beyond a window is like no other."""
        lengths = {bound - before for bound in self._windows for before in range(RECORDED + 1)}
        tokens = (LARGEST_UNDEQUANTISED,) if self.orders["model"]["quantization"] else ()
        return Bounds(tuple(sorted(lengths)), tokens)

    def point(self, prompt: int) -> Point:
        rank = 0 if self.task.base else self.recipe.point.rank
        new = self.last + 1 - prompt if self.depends_on_new else 0
        return Point(self.knobs.per_device_train_batch_size, prompt, rank, new)

    @property
    def depends_on_new(self) -> bool:
        return self.task.num_beams > 1 or self.task.cache == "static"

    @cached_property
    def orders(self) -> dict[str, Any]:
        return generation_orders(
            self.model, self.method, self.knobs, self.machine, self.task, self.recipe.layers,
            trust_remote_code=self.trust_remote_code,
        )  # fmt: skip

    def asked(self, takes: Iterable[tuple[int, Kept | None]]) -> dict[str, Any]:
        """Orders for these prompts, each of some layers; None: of all."""
        layers = self.recipe.layers
        asked = [[*told(layers, [kept] if kept else ()), self._numbers(prompt)] for prompt, kept in takes]
        return self.orders | {"generation": self.orders["generation"] | {"takes": asked, "steps": self.steps}}

    def _numbers(self, prompt: int) -> list[int]:
        point = self.point(prompt)
        return [point.batch, point.length, point.new or self.steps + 1]

    @cached_property
    def key(self) -> str:
        """The same for answers with the same tape."""
        task = {"beams": self.task.num_beams, "cache": self.task.cache, "base": self.task.base, "steps": self.steps}
        return hashlib.sha256(json.dumps(["generate", self.recipe.key, task]).encode()).hexdigest()[:16]


def find(writing: Writing, say: Callable[[str], None], rehearses: bool = True) -> Found:
    """The answer, with some of its steps for all where they are many. Raises `BadInput` where transformers refuses, and
    `NotKnown` where it would have to be rehearsed and may not."""
    places = _Places(writing, say, rehearses)
    places.look(writing.prompts)
    while (unknown := places.answer.unknown(writing.last)) is not None:
        places.look([places.answer.asking(unknown, writing.last)])
    answer = places.answer
    recording = on_card(answer.written(answer.played(writing.last)), writing.machine)
    return Found(recording, "rehearsal" if places.rehearsed else "atlas", places.stack, notes=tuple(places.notes))


class _Places:
    """Of an answer, where it is known."""

    def __init__(self, writing: Writing, say: Callable[[str], None], rehearses: bool) -> None:
        self._writing, self._say, self._rehearses = writing, say, rehearses
        self._told: dict[int, Recording] = {}
        shipped = tape_bytes(writing.key)
        self._shipped = None if shipped is None else decode(shipped)
        self._cached = cache.read(writing.key)
        self._are_alike = True
        # layers of one letter, as far as anyone knows
        self.rehearsed = self._shipped is None
        self.stack: Mapping[str, str] = {}
        self.notes: set[str] = set()

    @property
    def answer(self) -> Answer:
        """Its own prompt comes first."""
        return Answer(tuple(Anchor(prompt, self._told[prompt]) for prompt in sorted(self._told)))

    def look(self, prompts: Sequence[int]) -> None:
        for tape in (self._shipped, self._cached):
            self._told |= dict(self._on(tape, prompts))
        self._rehearse([prompt for prompt in prompts if prompt not in self._told])

    def _on(self, tape: Tape | None, prompts: Iterable[int]) -> Iterator[tuple[int, Recording]]:
        if tape is None:
            return
        self.stack = tape.stack
        for prompt in prompts:
            recording = tape.at(self._writing.point(prompt), self._writing.recipe.layers)
            if recording is not None and prompt not in self._told:
                yield prompt, recording

    def _rehearse(self, prompts: Sequence[int]) -> None:
        """That a few layers stand for all is proven at the first prompt, at all where a window fills up, and where no
        known history tells of one."""
        if not prompts:
            return
        if not self._rehearses:
            raise NotKnown("no tape knows this answer")
        self._say("rehearsing the reading of the prompt, and the first and the last tokens")
        self._ask(prompts, prompts if self._writing.meets_bounds else prompts[:1])
        self._ask(self._lacking(prompts), self._lacking(prompts))
        if self._cached is not None:
            cache.write(self._writing.key, self._cached)
        self._ask_whole(self._lacking(prompts))

    def _lacking(self, prompts: Sequence[int]) -> list[int]:
        return [prompt for prompt in prompts if prompt not in self._told]

    def _ask(self, prompts: Sequence[int], proven: Sequence[int]) -> None:
        """Of a few layers, or of all where they are few."""
        recorded = self._writing.recipe.recorded
        few = {prompt: (recorded if prompt in proven else recorded[:1]) or (None,) for prompt in prompts}
        recordings = self._answered([(prompt, kept) for prompt in prompts for kept in few[prompt]])
        for prompt in prompts if recordings else ():
            self._place(prompt, [recordings.pop(0) for _ in few[prompt]])

    def _place(self, prompt: int, recordings: Sequence[Recording]) -> None:
        """In the tape, which grows with every point; not where the layers do not extend, or are not proven to."""
        point, recipe = self._writing.point(prompt), self._writing.recipe
        tape = self._cached or Tape((), self._writing.bounds, self.stack)
        tape = tape.with_take(take_of(recipe, point, recordings))
        history = next((history for history in tape.histories if point in history.points), None)
        whole = None if history is None else history.at(point, recipe.layers)
        if whole is not None:
            self._cached, self._told[prompt] = tape, whole

    def _ask_whole(self, prompts: Sequence[int]) -> None:
        if not prompts:
            return
        self._say("a few layers do not stand for all here: rehearsing every layer")
        self.notes.add(EVERY_LAYER)
        self._told |= dict(zip(prompts, self._answered([(prompt, None) for prompt in prompts]), strict=True))

    def _answered(self, takes: Sequence[tuple[int, Kept | None]]) -> list[Recording]:
        """None where layers are not alike that are said to be."""
        if not takes or not (self._are_alike or all(kept is None for _, kept in takes)):
            return []
        answer = worker.ask("generation", self._writing.asked(takes))
        self.rehearsed, self.stack, self._are_alike = True, answer["stack"], answer["alike"]
        return [Recording.from_json(recording) for recording in answer["recordings"]]
