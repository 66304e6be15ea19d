"""What the chosen micro-batches of a run reserve, beside all of them: python benchmarks/schedule_replay.py [SCHEDULES]

Runs are made up: rows of lognormal length (median 665 tokens, 528 to 2048), in the order of `LongestFirst`, with a
checkpoint every so many steps. Sizes are the atlas's, so each row takes what it takes. Each line: a recipe; then for
each schedule what rows of one length reserve beside the whole schedule, and what the chosen micro-batches do.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

from finefit.estimate.load import loaded
from finefit.nouns.knobs import Knobs
from finefit.nouns.method import Full, LoRA, Method, QLoRA
from finefit.nouns.recording import Recording
from finefit.nouns.schedule import MicroBatch, Step, chosen
from finefit.rehearsal.find import find
from finefit.rehearsal.recipe import Recipe
from finefit.tape.allocator import Settings, replay
from finefit.tape.schedule import Played, of_schedule
from finefit.units import MIB
from finefit.world.gpus import machine_named
from finefit.world.models import find_model

LONGEST, SHORTEST = 2048, 528
"""Tokens. Shorter 4-bit and full steps are other ones (`Recipe.bounds`), so none is."""
Sizes = Callable[[int], Sequence[int]]
RECIPES: list[tuple[str, Method, int, int, int, int]] = [
    ("HuggingFaceTB/SmolLM2-135M", Full(), 1, 4, 60, 10),
    ("Qwen/Qwen3-0.6B", LoRA(), 1, 8, 40, 15),
    ("meta-llama/Llama-3.2-1B", LoRA(), 1, 1, 60, 20),
    ("meta-llama/Llama-3.2-1B", LoRA(), 4, 1, 40, 12),
    ("meta-llama/Llama-3.2-1B", LoRA(), 1, 4, 40, 12),
    ("meta-llama/Llama-3.2-1B", QLoRA(), 1, 4, 40, 12),
    ("meta-llama/Llama-3.2-1B", Full(), 1, 4, 40, 12),
    ("meta-llama/Llama-3.2-1B", Full(), 1, 8, 40, 12),
    ("meta-llama/Llama-3.1-8B", LoRA(), 1, 4, 20, 8),
    ("meta-llama/Llama-3.1-8B", QLoRA(), 1, 4, 20, 8),
]
"""Rows of a micro-batch, micro-batches of a step, steps, and after how many the cache is emptied."""


def main(schedules: int) -> None:
    for name, method, rows, accumulation, steps, saves in RECIPES:
        knobs = Knobs(LONGEST, per_device_train_batch_size=rows, gradient_accumulation_steps=min(accumulation, 2))
        recipe = Recipe(find_model(name), method, knobs, machine_named("A100-80GB"))
        recording, sizes = _sizes(recipe)
        words = [f"{name} {type(method).__name__} {rows}x{accumulation}:"]
        for seed in range(schedules):
            run = _run(random.Random(seed), rows, accumulation, steps, saves)
            alike = Step((MicroBatch(rows, LONGEST, rows * LONGEST),) * accumulation)
            whole, few = _reserved(recording, run, sizes), chosen(run)
            started = time.perf_counter()
            least, most = _reserved(recording, few, sizes), _reserved(recording, [alike] * 2, sizes)
            count, seconds = sum(len(step.micro_batches) for step in few), time.perf_counter() - started
            gap = f"{(least - whole) / MIB:+.0f} MiB ({100 * (least / whole - 1):+.1f} %)"
            words.append(f"alike {100 * (most / whole - 1):+.1f} %, {count} chosen {gap} in {seconds:.1f} s;")
        print(*words, flush=True)


def _sizes(recipe: Recipe) -> tuple[Recording, Sizes]:
    longest = find(recipe, print).recording

    @cache
    def at(length: int) -> Sequence[int]:
        shorter = find(replace(recipe, knobs=replace(recipe.knobs, max_length=length)), print).recording
        assert shorter.events == longest.events, f"{length} tokens make another step"
        return shorter.nbytes

    return longest, at


def _run(chance: random.Random, rows: int, accumulation: int, steps: int, saves: int) -> list[Step]:
    lengths = [
        max(min(LONGEST, max(SHORTEST, int(chance.lognormvariate(6.5, 0.8)))) for _ in range(rows))
        for _ in range(steps * accumulation)
    ]
    lengths[accumulation - 1], lengths[2 * accumulation - 1] = max(lengths), LONGEST
    each = [MicroBatch(rows, length, rows * length) for length in lengths]
    return [
        Step(tuple(each[step * accumulation : (step + 1) * accumulation]), step >= 2 and step % saves == 0)
        for step in range(steps)
    ]


def _reserved(recording: Recording, steps: Sequence[Step], sizes: Sizes) -> int:
    told = [Played(tuple(sizes(each.length) for each in step.micro_batches), step.empties_cache) for step in steps]
    played = of_schedule(recording, told)
    assert played is not None
    history = loaded(played, "bfloat16")
    return replay(history.events, history.nbytes, Settings()).peak_reserved_bytes


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4)
