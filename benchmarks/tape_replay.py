"""How long a tape of the atlas takes to answer, for Llama-3.1-8B with LoRA: `python benchmarks/tape_replay.py`.

No torch is imported. Each figure is the best of several runs, in milliseconds of processor time.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from finefit.catalog.atlas import tape_bytes
from finefit.nouns.knobs import Checkpointing, Knobs
from finefit.nouns.method import LoRA
from finefit.rehearsal.recipe import Recipe
from finefit.tape.allocator import Settings, replay
from finefit.tape.outline import Asked, Outlines
from finefit.tape.sizes import Point
from finefit.tape.written import decode
from finefit.world.gpus import machine_named
from finefit.world.models import find_model

RUNS = 7


def best_ms(action: Callable[[], object]) -> float:
    seconds = []
    for _ in range(RUNS):
        started = time.process_time()
        action()
        seconds.append(time.process_time() - started)
    return 1000 * min(seconds)


SHAPES: tuple[Checkpointing, ...] = ("all", 8, 0)


def main() -> None:
    print("checkpointed  events  read  lay out  allocated peak  recording  with the allocator")
    for checkpointing in SHAPES:
        figures = measured(checkpointing)
        print(f"{checkpointing!s:>12} {figures[0]:>7,.0f}" + "".join(f"{each:>12.2f}" for each in figures[1:]))


def measured(checkpointing: Checkpointing) -> list[float]:
    model, machine = find_model("meta-llama/Llama-3.1-8B"), machine_named("A100-80GB")
    recipe = Recipe(model, LoRA(), Knobs(max_length=2048, gradient_checkpointing=checkpointing), machine)
    data, point = tape_bytes(recipe.key), Point(3, 1777, 16)
    assert data is not None, "not in the atlas"
    history = decode(data).history_at(point)
    assert history is not None
    recording, outline = history.at(point, recipe.layers), Outlines(history).of(recipe.layers)
    assert recording is not None

    def numbers() -> tuple[int, ...]:
        found = history.numbers(point)
        assert found is not None
        return found

    return [
        len(recording.events),
        best_ms(lambda: decode(data)),
        best_ms(lambda: Outlines(history).of(recipe.layers)),
        best_ms(lambda: outline.at(numbers(), Asked()).heights),
        best_ms(lambda: history.at(point, recipe.layers)),
        best_ms(lambda: replay(recording.events, recording.nbytes, Settings())),
    ]


if __name__ == "__main__":
    main()
