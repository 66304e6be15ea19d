"""What ships in the atlas is what a rehearsal of today finds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from finefit.nouns.images import Images
from finefit.nouns.knobs import Knobs
from finefit.nouns.method import Full, LoRA, Method, QLoRA
from finefit.nouns.recording import Recording
from finefit.rehearsal.find import find, rehearse
from finefit.rehearsal.recipe import Recipe
from finefit.tape.expand import storages_and_events
from finefit.tape.peaks import Kind, without_layer
from finefit.world.gpus import machine_named
from finefit.world.models import find_model

RECIPES: dict[str, tuple[str, Method, Knobs]] = {
    "few tokens": ("deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", QLoRA(r=20), Knobs(171, 2, 2, "all")),
    "an image": ("Qwen/Qwen2-VL-2B-Instruct", LoRA(r=24), Knobs(3000, 1, 2, "all")),
    "full": ("Qwen/Qwen3-0.6B", Full(), Knobs(830, 5, 2, 9)),
    "lora": ("Qwen/Qwen2.5-0.5B-Instruct", LoRA(r=48), Knobs(1111, 3, 2, "all")),
    "experts": ("allenai/OLMoE-1B-7B-0924", LoRA(r=24), Knobs(1337, 3, 2, 0)),
    "qlora4": ("Qwen/Qwen2.5-0.5B", QLoRA(r=20), Knobs(1500, 1, 2, 0)),
}


def kinds_of(recording: Recording) -> list[Kind]:
    """What each storage is, weights by their names."""
    return [without_layer(recording.kind_names[kind]) for kind in recording.kinds]


@pytest.mark.wide(3)
@pytest.mark.parametrize("name", RECIPES)
def test_a_shipped_tape_equals_a_fresh_rehearsal(name: str) -> None:
    """At a point that no tape was recorded at: every birth and death, to the byte. If not: `make atlas`."""
    model, method, knobs = RECIPES[name]
    images = Images(1024, 1024) if "VL" in model else None
    recipe = Recipe(find_model(model), method, knobs, machine_named("A100-80GB"), images=images)
    told = find(recipe, lambda _: None)
    assert told.source == "atlas"
    fresh, _, _ = rehearse(recipe.orders, recipe.layers, lambda _: None)
    assert storages_and_events(told.recording) == storages_and_events(fresh)
    assert kinds_of(told.recording) == kinds_of(fresh)
    assert told.recording.trainable_parameters == fresh.trainable_parameters


@pytest.mark.parametrize(
    "words",
    [
        ["estimate", "llama-3.1-8b", "--gpu", "H100-80GB", "--per-device-train-batch-size", "3", "--lora-r", "24"],
        ["plan", "llama-3.2-3b", "--gpu", "RTX4070", "--method", "qlora4", "--max-length", "1500"],
    ],
    ids=["estimate", "plan"],
)
def test_the_atlas_needs_no_torch(words: list[str], tmp_path: Path) -> None:
    """A shipped recipe imports no torch, and asks no worker that would."""
    broken = tmp_path / "torch"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise AssertionError('torch was imported')")
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(
        [sys.executable, "-m", "finefit", *words, "--json"],
        env=os.environ | {"PYTHONPATH": path, "FINEFIT_CACHE": str(tmp_path / "cache")},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    answer = json.loads(done.stdout)
    assert answer["source"] == "atlas"
    assert not (tmp_path / "cache").exists()


def test_more_of_everything_takes_no_less() -> None:
    """Longer rows, more of them, more layers kept: none of it lowers the peak."""
    model, machine = find_model("llama-3.1-8b"), machine_named("A100-80GB")

    def peak(**changes: object) -> int:
        knobs = replace(Knobs(1024, 2, 2, "all"), **changes)  # type: ignore[arg-type]
        recording = find(Recipe(model, LoRA(), knobs, machine), lambda _: None).recording
        live = highest = 0
        for event in recording.events:
            live += recording.nbytes[event - 1] if event > 0 else -recording.nbytes[-event - 1]
            highest = max(highest, live)
        return highest

    for name, values in {
        "max_length": [512, 1024, 1025, 4096],
        "per_device_train_batch_size": [1, 2, 3, 16],
        "gradient_checkpointing": ["all", 28, 20, 4, 0],
        "gradient_accumulation_steps": [1, 2, 8],
    }.items():
        peaks = [peak(**{name: value}) for value in values]
        assert peaks == sorted(peaks), name
