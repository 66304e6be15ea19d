"""Holds tapes against direct rehearsals at random unseen points: `python validation/replay.py [--count N]`.

Ten models, cut to 12 layers so that all layers can be rehearsed, times three methods. For each, the atlas has the tape,
or it is built (at its points, of a few layers); then the whole model is rehearsed at random micro-batches, lengths,
ranks, numbers of layers and of checkpointed ones, and the allocated peaks are compared. What is done is kept in
replay.json; running again goes on.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from finefit.catalog.atlas import tape_bytes
from finefit.nouns.knobs import Checkpointing, Knobs
from finefit.nouns.method import Full, LoRA, Method, QLoRA, name_of
from finefit.nouns.model import Model
from finefit.nouns.recording import Recording
from finefit.rehearsal.build import Built, build
from finefit.rehearsal.recipe import Recipe
from finefit.run import worker
from finefit.search.choice import suited
from finefit.tape.peaks import CUDA_BLOCK_BYTES, phase_peaks
from finefit.tape.written import decode
from finefit.world.gpus import machine_named
from finefit.world.models import find_model

RESULTS = Path(__file__).parent / "replay.json"
LAYERS = 12
MODELS = (
    "HuggingFaceTB/SmolLM2-135M", "Qwen/Qwen2.5-0.5B", "Qwen/Qwen3-0.6B", "meta-llama/Llama-3.2-1B",
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0", "mistralai/Mistral-7B-v0.3", "Qwen/Qwen3-8B", "meta-llama/Llama-2-7b-hf",
    "openai-community/gpt2", "microsoft/phi-4",
)  # fmt: skip
METHODS: dict[str, Method] = {"lora": LoRA(), "full": Full(), "qlora4": QLoRA()}
SHAPES: tuple[Checkpointing, ...] = ("all", 0, 6)
REACH = 2048
"""No sequence is longer; of a model that has fewer positions, none is longer than these."""
ROUND = 10
"""Rehearsals of one worker, so that what is done is kept often."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=50, help="points of each model and method")
    parser.add_argument("--methods", default=",".join(METHODS))
    arguments = parser.parse_args()
    for name in MODELS:
        for method in arguments.methods.split(","):
            _hold(name, METHODS[method], arguments.count)
    print(summary(json.loads(RESULTS.read_text())))


def summary(rows: list[dict[str, Any]]) -> str:
    errors = [abs(row["replayed_bytes"] / row["rehearsed_bytes"] - 1) for row in rows if row["replayed_bytes"]]
    exact = sum(row["replayed_bytes"] == row["rehearsed_bytes"] for row in rows)
    unanswered = sum(row["replayed_bytes"] is None for row in rows)
    return f"{len(rows)} points: {exact} to the byte, {unanswered} not answered, worst {100 * max(errors):.4f} %"


def _hold(name: str, method: Method, count: int) -> None:
    done = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    known = sum((row["model"], row["method"]) == (name, name_of(method)) for row in done)
    most = find_model(name).positions or REACH
    wanted = list(_unseen(f"{name} {name_of(method)}", method, count, most))[known:]
    if not wanted:
        return
    recipes = [_recipe(name, method, LAYERS, n) for n in SHAPES]
    shipped = {recipe.key: decode(data) for recipe in recipes if (data := tape_bytes(recipe.key))}
    built = {one.recipe.shape: one for one in build(recipes, shipped)}
    for start in range(0, len(wanted), ROUND):
        now = [replace(_recipe(name, method, layers, n), method=at) for layers, n, _, _, at in wanted[start:][:ROUND]]
        now = [
            replace(each, knobs=replace(each.knobs, per_device_train_batch_size=batch, max_length=length))
            for each, (_, _, batch, length, _) in zip(now, wanted[start:], strict=False)
        ]
        done += [_row(one, built[one.shape], peak) for one, peak in zip(now, _rehearsed(now), strict=True)]
        aside = RESULTS.with_suffix(".aside")
        aside.write_text("[\n" + ",\n".join(json.dumps(row) for row in done) + "\n]\n")
        aside.replace(RESULTS)
    print(f"{name} {name_of(method)}: {summary(done)}", flush=True)


def _unseen(seed: str, method: Method, count: int, most: int) -> Iterator[tuple[int, Checkpointing, int, int, Method]]:
    """(layers, checkpointed, micro-batch, length, method of some rank): the same for any count, as far as it goes."""
    seeded = random.Random(seed)
    for _ in range(count):
        layers = seeded.randint(LAYERS - 1, LAYERS)
        odd, aligned = seeded.randint(most // 4 + 8, most - 8), 16 * seeded.randint(most // 51, most // 16 - 1)
        length = seeded.choice([odd, aligned])
        rank = seeded.choice([4, 8, 16, 32, 64])
        checkpointed = seeded.choice(["all", 0, *range(4, layers - 3)])
        at = method if isinstance(method, Full) else replace(method, r=rank)
        yield layers, checkpointed, seeded.randint(1, 6), length, at


def _recipe(name: str, method: Method, layers: int, checkpointing: Checkpointing) -> Recipe:
    model = find_model(name)
    key = next(key for key in ("num_hidden_layers", "n_layer") if key in model.config)
    model = Model(model.id, {**model.config, key: layers})
    knobs, _ = suited(Knobs(max_length=1024, gradient_checkpointing=checkpointing), model)
    return Recipe(model, method, knobs, machine_named("A100-80GB"))


def _rehearsed(recipes: list[Recipe]) -> list[int]:
    """The peaks of whole models, every layer rehearsed, by one worker."""
    takes = []
    for recipe in recipes:
        layers, checkpointed = recipe.model.layers, recipe.knobs.gradient_checkpointing
        point = recipe.point
        count = layers if checkpointed == "all" else checkpointed
        takes.append([[list(range(layers)), count], point.batch, point.length, point.rank])
    first = recipes[0]
    orders = _recipe(first.model.id, first.method, LAYERS, "all").orders
    answer = worker.ask("rehearse", orders | {"rehearsal": orders["rehearsal"] | {"layers": [], "takes": takes}})
    return [_peak(Recording.from_json(take)) for take in answer["takes"]]


def _peak(recording: Recording) -> int:
    return phase_peaks(recording, CUDA_BLOCK_BYTES)["peak"]


def _row(recipe: Recipe, built: Built, rehearsed: int) -> dict[str, Any]:
    replayed = built.tape.at(recipe.point, recipe.layers)
    return {
        "model": recipe.model.id,
        "method": name_of(recipe.method),
        "batch": recipe.point.batch,
        "length": recipe.point.length,
        "rank": recipe.point.rank,
        "layers": recipe.model.layers,
        "checkpointed": recipe.knobs.gradient_checkpointing,
        "rehearsed_bytes": rehearsed,
        "replayed_bytes": None if replayed is None else _peak(replayed),
    }


if __name__ == "__main__":
    main()
