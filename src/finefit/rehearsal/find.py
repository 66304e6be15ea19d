"""The recording of a recipe: of the atlas where it has the recipe, else of the cache, else rehearsed now."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from finefit.catalog.atlas import tape_bytes
from finefit.catalog.kernels import cublas_workspace_bytes
from finefit.errors import NotKnown
from finefit.estimate.lengths import Rows
from finefit.estimate.rehearsed import whole_recording
from finefit.nouns.machine import Machine
from finefit.nouns.recording import Recording
from finefit.nouns.schedule import Step
from finefit.run import worker
from finefit.tape.layers import Layers
from finefit.tape.micro_batches import RECORDED, with_micro_batches
from finefit.tape.outline import Asked
from finefit.tape.peaks import CUDA_BLOCK_BYTES, phase_peaks
from finefit.tape.tape import Bounds, Tape
from finefit.tape.written import decode

from . import cache
from .recipe import Recipe, take_of

Source = Literal["atlas", "rehearsal"]
KEPT = 12
"""Tapes of the atlas in memory: with their layouts some 20 MB each."""


@dataclass(frozen=True)
class Found:
    recording: Recording
    source: Source
    stack: Mapping[str, str]
    # versions that it was recorded with
    tape: Tape | None = None
    # what knows other points; None where there is no more than this one
    notes: tuple[str, ...] = ()


def find(recipe: Recipe, say: Callable[[str], None], rehearses: bool = True) -> Found:
    """Raises `NotKnown` where it would have to be rehearsed and may not."""
    found = known(recipe) or (_rehearsed(recipe, say) if rehearses else None)
    if found is None:
        raise NotKnown("no tape knows this recipe")
    return replace(found, recording=as_asked(found.recording, recipe))


def known(recipe: Recipe) -> Found | None:
    return _in_atlas(recipe) or _in_cache(recipe)


def at_half(recipe: Recipe, found: Found) -> Recording | None:
    """The same step with rows of half the length, where the tape knows it: what comes before the longest row."""
    point = replace(recipe.point, length=recipe.point.length // 2)
    has_room = point.length >= recipe.least_length
    half = found.tape.at(point, recipe.layers) if found.tape is not None and has_room else None
    return None if half is None else as_asked(half, recipe)


def as_asked(recording: Recording, recipe: Recipe) -> Recording:
    """With as many micro-batches, on that card."""
    if recipe.accumulates_freely:
        recording = with_micro_batches(recording, recipe.knobs.gradient_accumulation_steps)
    return on_card(recording, recipe.machine)


def asked_by(recipe: Recipe) -> Asked:
    """The same, of an outline."""
    gpu = recipe.machine.gpu
    return Asked(
        micro_batches=recipe.knobs.gradient_accumulation_steps if recipe.accumulates_freely else RECORDED,
        cublas_bytes=None if gpu is None else cublas_workspace_bytes(gpu.compute_capability),
    )


def _in_atlas(recipe: Recipe) -> Found | None:
    tape = of_atlas(recipe.key)
    return None if tape is None else _told(recipe, tape, "atlas", _other_versions)


@functools.lru_cache(maxsize=KEPT)
def of_atlas(key: str) -> Tape | None:
    """Read once, as long as it is among the last: a tape remembers what it has laid out."""
    data = tape_bytes(key)
    return None if data is None else decode(data)


def _in_cache(recipe: Recipe) -> Found | None:
    tape = cache.read(recipe.key)
    return None if tape is None else _told(recipe, tape, "rehearsal", lambda _: ())


def _told(recipe: Recipe, tape: Tape, source: Source, notes: Callable[[Tape], tuple[str, ...]]) -> Found | None:
    recording = tape.at(recipe.point, recipe.layers)
    return None if recording is None else Found(recording, source, tape.stack, tape, notes(tape))


def _other_versions(tape: Tape) -> tuple[str, ...]:
    here = cache.installed()
    differ = [f"{name} {of} (installed: {here[name]})" for name, of in tape.stack.items() if here.get(name, of) != of]
    return (f"computed for {', '.join(differ)}",) if differ else ()


def _rehearsed(recipe: Recipe, say: Callable[[str], None]) -> Found:
    """Kept in the cache, where a tape grows with every point."""
    say("rehearsing the training step")
    found, answer, notes = rehearse(recipe.orders, recipe.layers, say)
    if not notes:
        known = cache.read(recipe.key) or Tape((), recipe.bounds, answer["stack"])
        cache.write(recipe.key, known.with_take(take_of(recipe, recipe.point, _recordings(answer))))
    return Found(found, "rehearsal", answer["stack"], notes=notes)


def rehearse(
    orders: dict[str, Any], layers: Layers, say: Callable[[str], None]
) -> tuple[Recording, dict[str, Any], tuple[str, ...]]:
    """The recording, what else the worker found, and notes. A few layers first, every layer where they do not stand
    for all."""
    answer = worker.ask("rehearse", orders)
    few = whole_recording(answer["recordings"], layers)
    if few is not None and all(whole_recording(told, layers) for told in answer["others"]):
        return few, answer, () if answer["alike"] else (EVERY_LAYER,)
    return rehearse_every_layer(orders, layers, say)


def rehearse_every_layer(
    orders: dict[str, Any], layers: Layers, say: Callable[[str], None]
) -> tuple[Recording, dict[str, Any], tuple[str, ...]]:
    say("a few layers do not stand for all here: rehearsing every layer")
    answer = worker.ask("rehearse", orders | {"rehearsal": orders["rehearsal"] | {"layers": [None], "shorter": False}})
    whole = whole_recording(answer["recordings"], layers)
    assert whole is not None, "a rehearsal of every layer always has a recording"
    return whole, answer, (EVERY_LAYER,)


def fullest_of(recording: Recording, answer: Mapping[str, Any], recipe: Recipe) -> tuple[Recording, int]:
    """Of all micro-batches that were rehearsed because they may be: the one with the largest peak, and its place."""
    others = [whole_recording(told, recipe.layers) for told in answer["others"]]
    found = [recording, *(other for other in others if other is not None)]
    block = 1 if recipe.machine.is_cpu else CUDA_BLOCK_BYTES
    peaks = [phase_peaks(each, block)["peak"] for each in found]
    place = peaks.index(max(peaks))
    return found[place], place


def rows_of(recipe: Recipe, recording: Recording, answer: Mapping[str, Any]) -> Rows | None:
    """A job's own rows, of a rehearsal that was asked for `shorter` ones too. Where these are of another history, only
    the longest row is known."""
    if not answer["schedule"]:
        return None
    steps = tuple(map(Step.from_json, answer["schedule"]))
    longest = max(each.length for step in steps for each in step.micro_batches)
    known = {longest: recording.nbytes}
    tape = Tape((), Bounds(), {}).with_take(take_of(recipe, replace(recipe.point, length=longest), _recordings(answer)))
    for length, told in answer["shorter"]:
        point = replace(recipe.point, length=length)
        tape = tape.with_take(take_of(recipe, point, [Recording.from_json(told)]))
        whole = tape.histories[0].at(point, recipe.layers) if tape.histories else None
        if whole is not None and whole.events == recording.events:
            known[length] = whole.nbytes
    return Rows(steps, known)


EVERY_LAYER = "every layer was rehearsed: a few do not stand for all"


def _recordings(answer: Mapping[str, Any]) -> list[Recording]:
    return [Recording.from_json(recording) for recording in answer["recordings"]]


def on_card(recording: Recording, machine: Machine) -> Recording:
    """A tape is recorded for one card of its kind; what libraries keep depends on the generation."""
    if machine.gpu is None:
        return recording
    cublas = {kind for kind, name in enumerate(recording.kind_names) if name[0] == "workspace" and name[3] == "cublas"}
    nbytes = cublas_workspace_bytes(machine.gpu.compute_capability)
    sizes = [nbytes if kind in cublas else size for kind, size in zip(recording.kinds, recording.nbytes, strict=True)]
    return replace(recording, nbytes=tuple(sizes))
