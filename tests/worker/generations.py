"""Small models that write: rehearsed, and for real."""

from __future__ import annotations

from itertools import accumulate, groupby
from typing import Any

import torch
from recipes import merged, orders

from finefit.nouns.recording import Recording
from finefit.tape.generation import RECORDED, Anchor, Answer, prompts
from finefit.worker import generation
from finefit.worker.generation_stage import GenerationStage
from finefit.worker.random_weights import random_model
from finefit.worker.recorder import Recorder
from finefit.worker.written import recording_json

Point = tuple[int, int, int]
"""Rows, tokens of each prompt, and how many are written."""


def asked(model_type: str = "llama", *, num_beams: int = 1, cache: str = "dynamic", **changes: Any) -> dict[str, Any]:
    """Orders of a small model on the processor, without adapters where no others are asked for."""
    writing = {
        "task": {"num_beams": num_beams, "cache": cache},
        "steps": RECORDED,
        "kinds": "aaa",
        "compute_capability": [8, 0],
        "attention_kernel": "auto",
    }
    return orders(model_type, **merged({"peft": None, "generation": writing, "model": {"prepare": False}}, changes))


def rehearsed(order: dict[str, Any], point: Point, few: list[Any] | None = None) -> Recording:
    return Recording.from_json(generation.rehearsed(order, few, list(point)))


def real(order: dict[str, Any], point: Point) -> Recording:
    """`generate` on real tensors with random weights, to the last token."""
    torch.manual_seed(0)
    model = generation.writer(random_model(order["model"], "cpu"), order)
    stage = GenerationStage(Recorder(), model)
    prompt = generation.prompt_of(list(point))
    stage.open(prompt.values())
    written = model.generate(**prompt, **generation.words_of(order["generation"]["task"], list(point)))
    del prompt
    stage.close()
    assert written.shape[1] == point[1] + point[2], "something ended the answer early"
    return Recording.from_json(recording_json(stage.recorder, model))


def answer(order: dict[str, Any], point: Point, bounds: tuple[int, ...] = ()) -> Answer:
    """Rehearsed at the places that a whole answer follows from."""
    rows, prompt, new = point
    few = merged(order, {"generation": {"steps": min(RECORDED, new - 1)}})
    places = prompts(prompt, new, bounds)
    return Answer(tuple(Anchor(place, rehearsed(few, (rows, place, prompt + new - place))) for place in places))


def until(recording: Recording, label: str) -> int:
    """The event at which this begins; the last one of the recording where it does not."""
    return next((position for position, each in recording.marks if each == label), len(recording.events))


def curve(recording: Recording, stop: int) -> list[int]:
    """Live bytes after every event, the larger of deaths without a birth between them first."""
    sizes = [recording.nbytes[abs(event) - 1] * (1 if event > 0 else -1) for event in recording.events[:stop]]
    runs = (list(run) for _, run in groupby(sizes, key=lambda size: size < 0))
    return list(accumulate(size for run in runs for size in (sorted(run) if run[0] < 0 else run)))
