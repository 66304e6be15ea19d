"""The rows of published/multi_gpu.csv, computed: one rank's step under the row's engine.

Knows: the engines that finefit composes, and FSDP1, which only this chooses; what a row's words mean. Does not know:
whether a row's libraries did as today's do. Results are kept in published/results_multi.json, row by row.
"""

from __future__ import annotations

import csv
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from finefit.estimate.rehearsed import ledger_from, spread
from finefit.nouns.engine import FSDP1, DeepSpeed, Engine
from finefit.nouns.knobs import Knobs
from finefit.nouns.ledger import Ledger
from finefit.nouns.loop import Loop
from finefit.nouns.machine import Machine
from finefit.nouns.method import Method
from finefit.nouns.model import Model
from finefit.nouns.recording import Recording
from finefit.rehearsal.find import at_half, find
from finefit.rehearsal.recipe import Recipe
from finefit.search.choice import suited
from finefit.search.engine import engine_for, of_one_rank
from finefit.tape.peaks import segments
from finefit.units import GIB
from finefit.world.gpus import machine_named
from finefit.world.models import find_model
from published_kit.recipes import Row, knobs_of

HERE = Path(__file__).parent.parent / "published"
ROWS = HERE / "multi_gpu.csv"
RESULTS = HERE / "results_multi.json"


@dataclass(frozen=True)
class Result:
    """One row: predicted beside published, of the same kind of memory."""

    id: str
    allocated_gib: float
    reserved_gib: float
    measured_gib: float
    memory: str
    # which kind was published; unknown is held against reserved
    peak_phase: str
    seconds: float

    @property
    def predicted_gib(self) -> float:
        return self.allocated_gib if self.memory == "allocated" else self.reserved_gib

    @property
    def error_percent(self) -> float:
        return 100 * (self.predicted_gib - self.measured_gib) / self.measured_gib


def rows() -> list[Row]:
    return list(csv.DictReader(ROWS.open(encoding="utf-8")))


def read() -> dict[str, Result]:
    stored = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    return {name: Result(**found) for name, found in stored.items()}


def compute(method_of: Callable[[dict[str, str]], Method], *, fresh: bool) -> None:
    """Every row that can be expressed and has no result, or all of them."""
    results = {} if fresh else read()
    of = [row for row in rows() if row["expressible"] != "no"]
    for number, row in enumerate(of, 1):
        if row["id"] in results:
            continue
        found = results[row["id"]] = computed(row, method_of(dict(row)))
        print(f"{number}/{len(of)} {row['id']} {row['engine']}: {found.error_percent:+.2f} %", file=sys.stderr)
        ordered = {one["id"]: asdict(results[one["id"]]) for one in of if one["id"] in results}
        RESULTS.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")


def computed(row: Row, method: Method) -> Result:
    started = time.perf_counter()
    model = find_model(row["model"])
    machine = machine_named(f"{row['gpus']}x{row['gpu']}")
    knobs, _ = suited(parallel_knobs_of(row), model)
    engine = engine_of(row, knobs, machine, model)
    alone, loop = of_one_rank(engine, knobs, loop_of(row))
    recipe = Recipe(model, method, alone, machine, loop)
    told = find(recipe, lambda _: None)
    half = at_half(recipe, told)
    whole = spread(told.recording, engine, knobs, alone, machine).recording
    shorter = None if half is None else spread(half, engine, knobs, alone, machine).recording
    ledger = ledger_from(whole, model, knobs, machine, shorter, engine=engine)
    peak, phase = first_step(whole) if row["measured_step"] == "first" else (ledger.peak_bytes, ledger.peak_phase)
    return Result(
        id=row["id"],
        allocated_gib=peak / GIB,
        reserved_gib=_reserved(ledger) / GIB,
        measured_gib=float(row["measured_gib"]),
        memory=row["memory"],
        peak_phase=phase,
        seconds=time.perf_counter() - started,
    )


def _reserved(ledger: Ledger) -> int:
    return ledger.reserved_bytes or 0


def parallel_knobs_of(row: Row) -> Knobs:
    stage = row["engine"].removeprefix("zero")
    return replace(
        knobs_of(row),
        gradient_accumulation_steps=int(row["grad_accum"]),
        zero_stage=int(stage) if stage.isdigit() else None,  # type: ignore[arg-type]
        offload=row["offload"],  # type: ignore[arg-type]
        fsdp=row["engine"] == "fsdp2",
    )


def loop_of(row: Row) -> Loop:
    return Loop(
        attention_kernel=row["attention_kernel"] if row["attn_implementation"] == "sdpa" else "auto",  # type: ignore[arg-type]
        hold_outputs=row["hold_outputs"] or "no",  # type: ignore[arg-type]
        adapter_dtype=row["adapter_dtype"] or None,  # type: ignore[arg-type]
        kbit_preparation=row["kbit_prep"] == "yes",
    )


def engine_of(row: Row, knobs: Knobs, machine: Machine, model: Model) -> Engine | None:
    if row["engine"] == "fsdp1":
        return FSDP1(int(row["gpus"]), knobs.mixed_precision != "no", prefetches=row["use_reentrant"] != "true")
    engine = engine_for(knobs, machine, model)
    if not isinstance(engine, DeepSpeed):
        return engine
    said = {name: int(value) for name, value in (word.split("=") for word in row["buckets"].split())}
    return replace(engine, buckets=replace(engine.buckets, **said))  # type: ignore[arg-type]


def first_step(recording: Recording) -> tuple[int, str]:
    """The highest before the first optimizer's step makes its state, and its phase."""
    peak, phase, live = 0, "load", 0
    for segment in segments(recording):
        if segment.phase == "optimizer":
            break
        for event in recording.events[segment.start : segment.stop]:
            live += recording.nbytes[event - 1] if event > 0 else -recording.nbytes[-event - 1]
            if live > peak:
                peak, phase = live, segment.phase
    return peak, phase
