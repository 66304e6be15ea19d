"""What is composed of a run: its recipe rehearsed by one rank alone, and the engine's part put in.

Knows: how the composition's words compare with what was measured on a processor, where host and device are one memory.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from finefit.catalog.optimizers import OPTIMIZERS
from finefit.nouns.engine import FSDP2, Buckets, DeepSpeed
from finefit.nouns.recording import Recording
from finefit.tape.parallel import fsdp2, zero12
from finefit.tape.parallel.compose import on_one_rank
from finefit.tape.parallel.states import Rank

from .phases import PHASES, REST, Bytes, Found, held_of, phases_of
from .runs import STEPS, Run, engine_of, orders_of

WIDTH = 2
"""bfloat16."""
ON_HOST = {
    "weights": "parameters",
    "float32 weights": "states",
    "trained weights": "states",
    "optimizer state": "states",
    "float32 gradients": "gradients",
    "gradients": "gradients",
}
"""What is offloaded, as what it counts; other words are buffers."""
BEGIN, PEAK, END = 0, 1, 2
AFTER = STEPS, 0, 0, BEGIN
"""A place in the run: step, micro-batch, phase, part of the phase."""


def composed(run: Run, buckets: Buckets | None, rank: int) -> Found:
    """Of one rank."""
    return as_measured(run, compose(run, rehearsed(run), buckets, rank))


def compose(run: Run, recording: Recording, buckets: Buckets | None, rank: int | None = None) -> Rank:
    """`rank`: None is the one that takes most."""
    engine = engine_of(run, buckets)
    optimizer = OPTIMIZERS[run.optim]
    if isinstance(engine, DeepSpeed) and engine.stage in (1, 2):
        return zero12.compose(recording, engine, optimizer, WIDTH, rank)
    if isinstance(engine, FSDP2):
        return fsdp2.compose(recording, engine, optimizer, WIDTH, rank or 0)
    return on_one_rank(recording, engine, run.optim, WIDTH)


def as_measured(run: Run, rank: Rank) -> Found:
    """With what is in the host's memory, from when it is there."""
    phases = {key: _with_host(run, rank.host, key, three) for key, three in phases_of(rank.recording).items()}
    held = held_of(rank.recording)
    for what, nbytes in rank.host.items():
        held[ON_HOST.get(what, REST)] += nbytes if _is_there(run, what, AFTER) else 0
    return Found(phases, held)


def _with_host(run: Run, host: Mapping[str, int], key: str, three: Bytes) -> Bytes:
    step, micro, phase = key.split("/")
    places = [(int(step), int(micro), PHASES.index(phase), part) for part in (BEGIN, PEAK, END)]
    off = [sum(nbytes for what, nbytes in host.items() if _is_there(run, what, place)) for place in places]
    begin, peak, end = (nbytes + more for nbytes, more in zip(three, off, strict=True))
    return begin, max(begin, peak, end), end


def _is_there(run: Run, what: str, place: tuple[int, int, int, int]) -> bool:
    """What is offloaded. Most is there from the start."""
    backward, optimizer, last = PHASES.index("backward"), PHASES.index("optimizer"), run.accumulation - 1
    match what:
        case "optimizer state":
            return place >= (0, last, optimizer, PEAK)
        case "gradients of micro-batches":
            return place >= (0, 0, backward, END)
        case "gradients of a step":
            step = place[0]
            return (step, 0, backward, END) <= place <= (step, last, optimizer, PEAK)
    return True


def rehearsed(run: Run) -> Recording:
    """In this process. Engines bring their own optimizer, and nothing of theirs is rehearsed: many runs share one."""
    orders = orders_of(run if run.engine == "ddp" else replace(run, optim="adamw_torch_fused"))
    return _rehearsed(json.dumps(orders, sort_keys=True))


@cache
def _rehearsed(orders: str) -> Recording:
    from finefit.worker import rehearse
    from finefit.worker.bends.foreach import multi_tensor_for_fake_tensors
    from finefit.worker.bends.tracing import fake_tensors_are_not_tracing

    fake_tensors_are_not_tracing()
    multi_tensor_for_fake_tensors()
    with contextlib.redirect_stdout(io.StringIO()):
        return Recording.from_json(rehearse._rehearse(json.loads(orders), None)[0])
