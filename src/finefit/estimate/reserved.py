"""What CUDA's caching allocator takes from the driver for a recording, as a range.

Reserved memory depends on what came before: how the weights were loaded (`load.py`), and the lengths of earlier rows.
A step of shorter rows leaves blocks that are too small for the longest row, which then takes more from the driver. A
run of ours meets its longest row in the second step, but empties its cache where it evaluates or saves, after which
rows grow again. Where the run's own rows are known they are replayed (`lengths.py`), and what they reserve is the
likely value. Else steps that are all alike give it, and one step of half the length before them says what may be more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from finefit.catalog.contexts import context_on
from finefit.catalog.nccl import communicator
from finefit.nouns.engine import Engine, is_plain
from finefit.nouns.knobs import Knobs
from finefit.nouns.machine import Gpu
from finefit.nouns.range import Range, Reason, around
from finefit.nouns.recording import Recording
from finefit.tape.allocator import OutOfMemory, Reserved, Settings, replay
from finefit.tape.steps import of_steps, same_steps
from finefit.units import MIB, human_bytes

from .lengths import Rows, of_run
from .load import PLAIN, History, Loading, loaded
from .trust import device_of, method_reason

PROBES = 5
"""Capacities tried at most for the smallest that survives: to within a hundredth of it, or a 32nd of what is reserved
and not allocated."""

UNKNOWN_LENGTHS = 0.20
"""Of what is reserved: so much at most did a step of half the length add, before the longest, in eight recipes (LoRA
and QLoRA of 0.4B to 1.7B, eager and fused attention: 7 to 20 %). With expandable segments it added 2 % at most."""

REST = 40 * MIB
"""What small tensors of micro-batches that are not chosen take, in segments of 2 MiB: whole schedules reserved at most
34 MiB more than what is chosen of them (36 runs of ten recipes, `benchmarks/schedule_replay.py`); 38 MiB in one run of
an 8B model with rows from 16 tokens on."""


@dataclass(frozen=True)
class Served:
    """What the GPU's allocator makes of a recording."""

    granted_bytes: tuple[int, ...]
    # per storage of the recording, its block
    reserved: Range
    smallest_bytes: int | None
    # the least device memory that survives, as far as was tried; None where there is room for the worst
    device: Range
    # reserved, the CUDA context, and NCCL


def serve(
    recording: Recording,
    knobs: Knobs,
    gpu: Gpu,
    shorter: Recording | None = None,
    rows: Rows | None = None,
    *,
    loading: Loading = PLAIN,
    engine: Engine | None = None,
    unlike: str = "",
    probes: bool = True,
) -> Served:
    """`rows`: of the run itself; `shorter`: else, the same step at shorter rows. The range then knows what rows of
    changing length do. `unlike`: why published runs say less of this one. `probes`: whether the least memory that
    survives is asked for."""
    settings = Settings(expandable_segments=knobs.expandable_segments)
    history = loaded(recording, knobs.dtype, loading)
    alike = _replayed(history, settings)
    own = None if rows is None else by_rows(recording, rows, knobs, settings, loading)
    if rows is None or own is None:
        typical = alike.peak_reserved_bytes
        varied = after_shorter(recording, shorter, knobs, settings, loading) if shorter else None
        lengths = _lengths(knobs, typical, varied, is_unknown=rows is not None)
    else:
        typical, lengths = max(own, alike.peak_allocated_bytes), _own_lengths(rows)
    method = method_reason(typical, alike.peak_allocated_bytes + lengths.below_bytes, knobs)
    method = replace(method, basis="guessed", why=f"{method.why}; {unlike}") if unlike else method
    streams = () if is_plain(engine) else (_streams(typical),)
    reserved = around(typical, (lengths, method, *streams))
    served = served_as(reserved, beside_tensors(gpu, engine), alike, len(recording.nbytes))
    return with_smallest(served, alike, history, settings, gpu) if probes else served


def served_as(reserved: Range, context: Range, replayed: Reserved, storages: int) -> Served:
    """`replayed`: what was taken; `storages`: of the recording with which the replayed history begins."""
    return Served(replayed.granted_bytes[:storages], reserved, None, device_of(reserved, context))


def with_smallest(served: Served, replayed: Reserved, history: History, settings: Settings, gpu: Gpu) -> Served:
    """And the least that survives, where the card has no room for the worst."""
    if served.device.high <= gpu.sure_bytes:
        return served
    beside = served.device.typical - served.reserved.typical
    return replace(served, smallest_bytes=smallest(history, settings, replayed) + beside)


def beside_tensors(gpu: Gpu, engine: Engine | None) -> Range:
    context, nccl = context_on(gpu), communicator(1 if engine is None else engine.ranks)
    return around(context.typical + nccl.typical, (*context.reasons, *nccl.reasons))


def after_shorter(
    recording: Recording, shorter: Recording, knobs: Knobs, settings: Settings, loading: Loading = PLAIN
) -> int | None:
    """Reserved by a step of shorter rows, and then the recorded one; None where they are not the same step."""
    if not same_steps(shorter, recording):
        return None
    return reserved_by(recording, [shorter.nbytes, recording.nbytes], knobs, settings, loading)


def reserved_by(
    recording: Recording,
    sizes: Sequence[Sequence[int]],
    knobs: Knobs,
    settings: Settings,
    loading: Loading = PLAIN,
) -> int | None:
    """Reserved by a history of steps, each with its own sizes; None where steps cannot follow each other."""
    steps = of_steps(recording, sizes)
    history = None if steps is None else loaded(steps, knobs.dtype, loading)
    return None if history is None else _replayed(history, settings).peak_reserved_bytes


def by_rows(recording: Recording, rows: Rows, knobs: Knobs, settings: Settings, loading: Loading = PLAIN) -> int | None:
    """Reserved by the run's own rows; None where they cannot be replayed."""
    steps = of_run(recording, rows)
    history = None if steps is None else loaded(steps, knobs.dtype, loading)
    return None if history is None else _replayed(history, settings).peak_reserved_bytes


def smallest(history: History, settings: Settings, alike: Reserved) -> int:
    """A capacity with which the history was served: less fails, or was not tried."""
    fails, survives = alike.peak_allocated_bytes - 1, alike.peak_reserved_bytes
    for _ in range(PROBES):
        if survives - fails <= survives // 100:
            break
        middle = (fails + survives) // 2
        try:
            survives = min(survives, replay(history.events, history.nbytes, settings, middle).peak_reserved_bytes)
        except OutOfMemory:
            fails = middle
    return survives


def _replayed(history: History, settings: Settings) -> Reserved:
    return replay(history.events, history.nbytes, settings)


def _streams(typical: int) -> Reason:
    why = "gathers and reductions run on streams of their own, whose freed blocks others cannot use at once"
    return Reason("engine's streams", 0, int(STREAMS * typical), "guessed", f"{why}; measured nowhere")


def _own_lengths(rows: Rows) -> Reason:
    why = (
        f"{rows.micro_batches} micro-batches of {len(rows.steps)} steps were replayed, in this run's own order: "
        f"those longer than all before them, from each emptying of the cache on; small tensors of others may add "
        f"{human_bytes(REST)}"
    )
    return Reason(WHAT, 0, REST, "derived", why)


def _lengths(knobs: Knobs, typical: int, varied: int | None, is_unknown: bool) -> Reason:
    """`varied`: what is reserved after a step of shorter rows, where it is known; `is_unknown`: the run's own rows are
    there, but not what they take."""
    if varied is not None:
        why = "replayed: a step of shorter rows first, then the longest one"
        return Reason(WHAT, max(0, typical - varied), max(0, varied - typical), "derived", why)
    rest = (
        "; this run's own rows were not replayed, since shorter ones make another step or are slow to rehearse"
        if is_unknown
        else ""
    )
    if knobs.expandable_segments:
        why = "expandable segments grow where they are: 2 % more at most in eight other recipes"
        return Reason(WHAT, 0, typical // 50, "guessed", why + rest)
    why = "a step of half the length before the longest row reserved 7 to 20 % more in eight other recipes"
    return Reason(WHAT, 0, int(UNKNOWN_LENGTHS * typical), "guessed", why + rest)


WHAT = "rows of changing length"
STREAMS = 0.1
"""Of what is reserved, at most, for blocks that wait for another stream (record_stream)."""
