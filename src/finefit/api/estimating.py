"""`estimate`: the memory and the time of one pinned recipe."""

from __future__ import annotations

import time
from collections.abc import Callable

from finefit.catalog.measured import rates_on
from finefit.estimate.host import host_of
from finefit.estimate.left_out import left_out
from finefit.estimate.pace.pace import pace_of, work_of
from finefit.estimate.rehearsed import ledger_from, spread, spread_alike
from finefit.nouns.engine import Engine
from finefit.nouns.estimate import Estimate
from finefit.nouns.images import Images
from finefit.nouns.knobs import Knobs
from finefit.nouns.loop import Loop
from finefit.nouns.method import Method
from finefit.nouns.pace import Pace
from finefit.nouns.recording import Recording
from finefit.nouns.task import ROWS, Training
from finefit.rehearsal.find import at_half, find
from finefit.rehearsal.recipe import OURS, Recipe
from finefit.rehearsal.timed import setup_of
from finefit.search import packing
from finefit.search.choice import suited
from finefit.search.engine import engine_for, of_one_rank, refuse_undivided
from finefit.search.packed import beside_packed
from finefit.search.preferences import refuse_unproven, supposed_of
from finefit.world.models import find_model

from .asked import machine_or_reference


def estimate(
    model: str,
    *,
    method: Method,
    knobs: Knobs,
    gpu: str = "auto",
    trust_remote_code: bool = False,
    loop: Loop = OURS,
    images: Images | None = None,
    task: Training = ROWS,
    progress: Callable[[str], None] | None = None,
    probes: bool = True,
    rehearses: bool = True,
) -> Estimate:
    """Memory and time of one pinned recipe: replayed where its tape is known, else rehearsed. Raises `BadInput`.

    `probes`: where it may not fit, the least that survives is looked for. Without `rehearses`, `NotKnown` is raised
    where no tape knows the recipe.
    """
    started = time.perf_counter()
    say = progress or (lambda _: None)
    found = find_model(model, trust_remote_code)
    method, agreed = beside_packed(method, found)
    machine, notes = machine_or_reference(gpu)
    refuse_unproven(task, method, knobs, found)
    refuse_undivided(method, knobs)
    knobs, changed = suited(knobs, found)
    supposed = (*supposed_of(task), *packing.supposed_of(knobs))
    engine = engine_for(knobs, machine, found)
    alone, loop = of_one_rank(engine, knobs, loop)
    recipe = Recipe(found, method, alone, machine, loop, trust_remote_code, images, task)
    told = find(recipe, say, rehearses)
    rank, half = spread(told.recording, engine, knobs, alone, machine), at_half(recipe, told)
    shorter = None if half is None else spread_alike(rank, told.recording, half)
    ledger = ledger_from(rank.recording, found, knobs, machine, shorter, engine=engine, task=task, probes=probes)
    return Estimate(
        model=found,
        method=method,
        knobs=knobs,
        machine=machine,
        ledger=ledger,
        engine=engine,
        host=host_of(method, knobs, machine, engine, ledger, rank.host, task),
        pace=pace(told.recording, recipe, knobs, engine),
        images=images,
        task=task,
        source=told.source,
        stack=told.stack,
        notes=(*notes, *agreed, *changed, *left_out(found, images, knobs), *supposed, *told.notes),
        seconds=time.perf_counter() - started,
    )


def pace(recording: Recording, recipe: Recipe, knobs: Knobs, engine: Engine | None) -> Pace | None:
    """Of a rank that was recorded alone; None where it is a processor, or a card of which no rates are known."""
    if recipe.machine.gpu is None or rates_on(recipe.machine.gpu) is None:
        return None
    setup = setup_of(recipe, knobs.optim)
    return pace_of(work_of(recording, setup, recipe.model.layers), setup, engine)
