"""The rows of published/speed.csv: what ran, how fast it was, and what of it finefit's recipes can say.

Knows: every published row that states a speed, its recipe, and the work that no such step can avoid.
Does not know: what finefit predicts. What is predicted is held against `expressible()`, `ran` says of what.
RECIPES.md says what a token and a step are, and how each source's own figure became these.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal

from finefit.catalog import models
from finefit.catalog.gpus import cells_of
from finefit.nouns.engine import Engine
from finefit.nouns.knobs import Knobs
from finefit.nouns.loop import Loop
from finefit.nouns.machine import Machine
from finefit.nouns.method import Full, Method
from finefit.nouns.model import Model
from finefit.world.gpus import machine_named
from finefit.world.models import find_model
from published_kit.recipes import Row, method_of
from published_kit.several import engine_of, loop_of, parallel_knobs_of

HERE = Path(__file__).parent.parent / "published"
ROWS = HERE / "speed.csv"
OWN_MODELS = HERE / "models.csv"
"""Configurations that the package does not bundle, with their source."""

RATES = ("bf16_tensor_dense_tflops", "fp16_tensor_fp32acc_dense_tflops", "matmul_bf16_measured_tflops")
"""Of gpus.csv: what a card does at most. Some do more than their data sheets say."""

Fit = Literal["yes", "near", "no"]
"""A stock recipe; computed as one although `why_not`; not computed."""


@dataclass(frozen=True)
class SpeedRow:
    """One published run."""

    id: str
    source: str
    fit: Fit
    why_not: str
    kernels: str
    # hf_eager, or what ran in its place
    tokens_per_row: int | None
    # that the model saw, with padding; None: not stated
    tokens_per_second: float | None
    # of one GPU, with padding; None: the source states rows or steps alone, of unknown length
    step_seconds: float | None
    # one step of the optimizer, with all its micro-batches
    note: str
    cells: Row

    @property
    def tokens_of_a_step(self) -> int:
        """On one GPU."""
        cells = self.cells
        return int(cells["micro_batch"]) * int(cells["grad_accum"]) * (self.tokens_per_row or 0)


@dataclass(frozen=True)
class Ran:
    """What a row ran, in finefit's words."""

    model: Model
    method: Method
    knobs: Knobs
    # max_length: the tokens that its rows had
    loop: Loop
    machine: Machine
    engine: Engine | None


@cache
def rows() -> tuple[SpeedRow, ...]:
    with ROWS.open(encoding="utf-8", newline="") as file:
        return tuple(_row(cells) for cells in csv.DictReader(file))


def expressible() -> tuple[SpeedRow, ...]:
    """Stock recipes first."""
    return tuple(row for fit in ("yes", "near") for row in rows() if row.fit == fit)


def ran(row: SpeedRow) -> Ran:
    assert row.fit != "no", row.id
    assert row.tokens_per_row is not None, row.id
    model, machine = _model(row), machine_named(f"{row.cells['gpus']}x{row.cells['gpu']}")
    knobs = replace(parallel_knobs_of(row.cells), max_length=row.tokens_per_row)
    engine = engine_of(row.cells, knobs, machine, model)
    return Ran(model, method_of(row.cells), knobs, loop_of(row.cells), machine, engine)


def work_share(row: SpeedRow) -> float:
    """The least work that the row's tokens can be, over the most that its card does. Above 1 it did not happen.

    A parameter multiplies once in the forward, once for what goes backward and once for its own gradient where it is
    trained, each a multiplication and an addition; recomputing is one forward more. Left out, so that the share is
    none too high: attention, what adapters add, and half of a layer, which a checkpoint need not recompute.
    """
    told = ran(row)
    passes = (3.0 if isinstance(told.method, Full) else 2.0) + (0.5 if told.knobs.gradient_checkpointing else 0)
    return 2 * passes * multiplied(row) * (row.tokens_per_second or 0) / peak_flops(told.machine)


def multiplied(row: SpeedRow) -> int:
    """Parameters without the table that only looks words up, unless it is the head too."""
    config = _model(row).config
    looked_up = 0 if config.get("tie_word_embeddings", True) else config["vocab_size"] * config["hidden_size"]
    return _parameters(row.cells["model"]) - looked_up


def peak_flops(machine: Machine) -> float:
    assert machine.gpu is not None
    cells = cells_of(machine.gpu.name)
    return 1e12 * max(float(cells[rate]) for rate in RATES if cells[rate])


def own_models() -> dict[str, int]:
    """Files of published/models/ and the parameters of what they build."""
    with OWN_MODELS.open(encoding="utf-8", newline="") as file:
        return {cells["file"]: int(cells["parameters"]) for cells in csv.DictReader(file)}


def _parameters(name: str) -> int:
    bundled = (one.parameters for one in models.rows() if name.lower() in one.words)
    return own_models()[name] if name.endswith(".json") else next(bundled)


def _model(row: SpeedRow) -> Model:
    name = row.cells["model"]
    return find_model(str(HERE / "models" / name) if name.endswith(".json") else name)


def _row(cells: dict[str, str]) -> SpeedRow:
    return SpeedRow(
        id=cells["id"],
        source=cells["source"],
        fit=cells["expressible"],  # type: ignore[arg-type]
        why_not=cells["why_not"],
        kernels=cells["kernels"],
        tokens_per_row=int(cells["tokens_per_row"]) if cells["tokens_per_row"] else None,
        tokens_per_second=_number(cells["measured_tokens_per_second_per_gpu"]),
        step_seconds=_number(cells["measured_step_seconds"]),
        note=cells["speed_note"],
        cells=cells,
    )


def _number(text: str) -> float | None:
    return float(text) if text else None
