"""The host's memory and disk: what loading, offload, saving and merging take, beside the GPUs.

    transformers 5.23  modeling_utils.py: from_pretrained puts weights together on the processor, in each process;
                       quantised ones go to the GPU one by one; under ZeRO 3 only the first process reads them;
                       save_pretrained: max_shard_size is 50 GB, and a shard is written whole
    accelerate 1.15    utils/fsdp_utils.py: fsdp2_load_full_state_dict: only the first process reads
    torch 2.13         ATen/core/CachingHostAllocator.h: pinned blocks are powers of two
    finefit            worker/export: merged file by file; the comparison at the end loads the whole model

Knows: bytes that follow from the parameters. Does not know: the checkpoint's dtype on the hub (taken as the half), data
that workers copy, what a driver maps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import assert_never

from finefit.catalog.optimizers import OPTIMIZERS, state_bytes
from finefit.nouns.engine import DDP, FSDP1, FSDP2, DeepSpeed, Engine
from finefit.nouns.host import Host, Need
from finefit.nouns.knobs import Knobs
from finefit.nouns.ledger import Ledger
from finefit.nouns.machine import Machine
from finefit.nouns.method import Full, Method, QLoRA
from finefit.nouns.task import DPO, ROWS, Training
from finefit.units import GIB, human_bytes

from .load import FLOAT, WIDTH

PROCESS_BYTES = 491_172 * 1024
"""Resident, after all libraries of a run are imported: measured on a processor (torch 2.13, Linux)."""
CUDA_BYTES = int(1.5 * GIB)
"""Guessed: CUDA's libraries and a context, in the memory of the process."""
SHARD_BYTES = 50_000_000_000
HALF = 2
CHECKPOINTS = 2
"""Kept, where a job says nothing else (`save_total_limit`)."""


@dataclass(frozen=True)
class Sizes:
    """Of one model and method, in bytes but for counts."""

    base: int
    # parameters beside the trained adapters
    trained: int
    # parameters
    weights: int
    # the base in the dtype of the run
    saved: int
    # what a checkpoint holds of the model
    states: int
    # and of the optimizer


def host_of(
    method: Method,
    knobs: Knobs,
    machine: Machine,
    engine: Engine | None,
    ledger: Ledger,
    pinned: Mapping[str, int],
    task: Training = ROWS,
) -> Host:
    """`pinned`: what an engine offloads, of each rank."""
    sizes = _sizes(method, knobs, engine, ledger)
    ram = [*_ram(method, machine, engine, sizes, pinned), *_copy(task, method, machine.count, engine, sizes)]
    if machine.is_cpu:
        why = "the ledger's tensors" + (f", of {machine.count} processes" if machine.count > 1 else "")
        ram.append(Need("the step itself", "training", machine.count * ledger.peak_bytes, "derived", why))
    return Host(tuple(ram), tuple(_disk(method, sizes)))


def _sizes(method: Method, knobs: Knobs, engine: Engine | None, ledger: Ledger) -> Sizes:
    is_full, width = isinstance(method, Full), WIDTH[knobs.dtype]
    base = ledger.parameters - (0 if is_full else ledger.trainable_parameters)
    trained = ledger.trainable_parameters
    optimizer = OPTIMIZERS.get(knobs.optim, OPTIMIZERS["adamw_torch_fused"])
    keeps_copy = isinstance(engine, DeepSpeed | FSDP1 | FSDP2)
    states = sum(state_bytes(optimizer, trained)) * (FLOAT if keeps_copy or not is_full else width) // FLOAT
    return Sizes(
        base=base,
        trained=trained,
        weights=base * width,
        saved=base * width if is_full else trained * FLOAT,
        states=states + (FLOAT * trained if keeps_copy else 0),
    )


def _ram(
    method: Method, machine: Machine, engine: Engine | None, sizes: Sizes, pinned: Mapping[str, int]
) -> Iterator[Need]:
    ranks = machine.count
    each = PROCESS_BYTES + (0 if machine.is_cpu else CUDA_BYTES)
    why = f"{ranks} × {human_bytes(each)}: Python and its libraries, measured" + (
        "" if machine.is_cpu else "; CUDA's, guessed"
    )
    yield Need("processes", "always", ranks * each, "measured" if machine.is_cpu else "guessed", why)
    yield from _loading(method, ranks, engine, sizes)
    if pinned:
        blocks = sum(1 << (nbytes - 1).bit_length() for nbytes in pinned.values() if nbytes)
        used = human_bytes(sum(pinned.values()))
        why = f"{ranks} × {human_bytes(blocks)}, of which {used} are used: pinned blocks are powers of two"
        yield Need("offloaded", "training", ranks * blocks, "derived", why)
    written = min(sizes.saved, SHARD_BYTES)
    yield Need("a checkpoint's shard", "saving", written, "derived", "the first process puts a shard together")
    if not isinstance(method, Full):
        whole = PROCESS_BYTES + sizes.base * HALF
        why = f"one process, and {sizes.base:,} parameters × {HALF} bytes"
        yield Need("merging the adapter", "merging", whole, "derived", why)


def _loading(method: Method, ranks: int, engine: Engine | None, sizes: Sizes) -> Iterator[Need]:
    if isinstance(method, QLoRA):
        return  # weight after weight goes to the GPU
    readers, why = _readers(ranks, engine)
    yield Need(
        "weights", "loading", readers * sizes.weights, "derived", f"{readers} × {human_bytes(sizes.weights)}: {why}"
    )


def _readers(ranks: int, engine: Engine | None) -> tuple[int, str]:
    match engine:
        case FSDP1() | FSDP2() | DeepSpeed(stage=3):
            return 1, "the first process reads them for all"
        case DDP() | DeepSpeed() | None:
            return ranks, "each process puts them together before they go to its GPU"
        case _:
            assert_never(engine)


def _copy(task: Training, method: Method, ranks: int, engine: Engine | None, sizes: Sizes) -> Iterator[Need]:
    """Of the weights, frozen, to compare answers with."""
    if not isinstance(task, DPO) or task.reference != "model":
        return
    if task.reference_bits is not None or isinstance(method, QLoRA):
        return  # weight after weight goes to the GPU
    readers, _ = _readers(ranks, engine)
    why = "put together beside the weights, before both go to the GPU" + (f", {readers} times" if readers > 1 else "")
    yield Need("reference model", "loading", readers * sizes.weights, "derived", why)


def _disk(method: Method, sizes: Sizes) -> Iterator[Need]:
    half = sizes.base * HALF
    yield Need(
        "the model's files", "always", half, "derived", f"{sizes.base:,} parameters × {HALF} bytes, from the hub"
    )
    each = sizes.saved + sizes.states
    states = human_bytes(sizes.states)
    why = f"{CHECKPOINTS} kept and one being written, {human_bytes(each)} each, {states} of it the optimizer's"
    yield Need("checkpoints", "always", (CHECKPOINTS + 1) * each, "derived", why)
    yield Need("the result", "always", sizes.saved, "derived", "as it is trained")
    if not isinstance(method, Full):
        yield Need("the merged model", "always", half, "derived", "where the adapter is merged for serving")
