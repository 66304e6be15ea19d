"""From what a rehearsal wrote down to the recording of the whole model, and to its ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from finefit.nouns.engine import DeepSpeed, Engine
from finefit.nouns.knobs import Knobs
from finefit.nouns.ledger import Ledger
from finefit.nouns.machine import Gpu, Machine
from finefit.nouns.model import Model
from finefit.nouns.packed import packed_in
from finefit.nouns.recording import Recording
from finefit.nouns.task import ROWS, Training
from finefit.tape.expand import expand
from finefit.tape.layers import Layers, few_of, kept_of
from finefit.tape.parallel.states import Rank
from finefit.tape.steps import same_steps

from .ledger import ledger_of
from .lengths import Rows
from .load import WIDTH, Loading
from .reserved import Served, serve
from .why import Shapes


def whole_recording(answers: Sequence[Mapping[str, Any]], layers: Layers) -> Recording | None:
    """Of all layers; None where recordings of a few do not expand exactly: then every layer must be rehearsed."""
    recordings = [Recording.from_json(answer) for answer in answers]
    recorded = [kept_of(layers, kept) for kept in few_of(layers)]
    return expand(recordings, recorded, layers) if len(recordings) > 1 else recordings[0]


def spread(recording: Recording, engine: Engine | None, knobs: Knobs, alone: Knobs, machine: Machine) -> Rank:
    """One rank's step under an engine; `alone`: the knobs with which it was recorded."""
    if engine is None:
        return Rank.alone(recording)
    from finefit.tape.parallel.compose import on_one_rank  # most recipes have no engine, and need none of its modules

    vram_bytes = None if machine.gpu is None else machine.gpu.vram_bytes
    return on_one_rank(recording, engine, knobs.optim, WIDTH[alone.dtype], vram_bytes)


def spread_alike(rank: Rank, alone: Recording, shorter: Recording) -> Recording | None:
    """The rank's step with shorter rows; None where these make another step. `alone`: what the rank is composed of."""
    return replace(rank.recording, nbytes=rank.nbytes_of(shorter)) if same_steps(shorter, alone) else None


def ledger_from(
    recording: Recording,
    model: Model,
    knobs: Knobs,
    machine: Machine,
    shorter: Recording | None = None,
    rows: Rows | None = None,
    engine: Engine | None = None,
    task: Training = ROWS,
    *,
    probes: bool = True,
) -> Ledger:
    """`shorter`: the same step with rows of half the length, where it is known; `rows`: those of the run itself."""
    text = model.config.get("text_config") or model.config
    shapes = Shapes(
        parameters=recording.parameters,
        trainable_parameters=recording.trainable_parameters,
        micro_batch=knobs.sequences,
        length=knobs.length,
        hidden=model.hidden_size,
        vocabulary=text.get("vocab_size", model.config.get("vocab_size")),
        weight_dtype=knobs.dtype,
        optim=knobs.optim,
        engine=engine,
        has_tower="vision_config" in model.config,
        task=task,
    )
    if machine.gpu is None:
        return ledger_of(recording, shapes, None)
    served = served_on(machine.gpu, recording, model, knobs, shorter, rows, engine, task, probes=probes)
    return ledger_of(recording, shapes, served)


def served_on(
    gpu: Gpu,
    recording: Recording,
    model: Model,
    knobs: Knobs,
    shorter: Recording | None = None,
    rows: Rows | None = None,
    engine: Engine | None = None,
    task: Training = ROWS,
    *,
    probes: bool = True,
) -> Served:
    """What the allocator makes of it; as `ledger_from`, and as `serve` has `probes`."""
    flattens = isinstance(engine, DeepSpeed) and engine.stage in (1, 2)
    loading = Loading(is_packed=packed_in(model) is not None, is_emptied=flattens)
    unlike = "" if task == ROWS else "they trained on rows, and none on preferences"
    return serve(recording, knobs, gpu, shorter, rows, loading=loading, engine=engine, unlike=unlike, probes=probes)
