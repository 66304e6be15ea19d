"""Which runs are measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from .runs import Name, Run, Zero

ENGINES: tuple[Name, ...] = get_args(Name)[:-1]
"""FSDP1, which only validation chooses, has runs of its own."""
SHORT = {"batch": 1, "length": 16}
"""So few tokens that the optimizer's step is the peak."""
OVERLAPPED: Zero = (("overlap_comm", True), ("reduce_bucket_size", 300_000))
SMALL_BUCKET: Zero = (("reduce_bucket_size", 50_000),)
SUB_GROUPS: Zero = (("sub_group_size", 200_000),)
FEW_LIVE: Zero = (
    ("stage3_max_live_parameters", 600_000),
    ("stage3_max_reuse_distance", 300_000),
    ("stage3_prefetch_bucket_size", 150_000),
)


def all_runs() -> list[Run]:
    runs = [*_by_engine(), *_quantised(), *_offloaded(), *_of_other_ranks(), *_of_other_shapes(), *_of_other_steps()]
    runs += [*_fsdp1(), *_on_one_rank(), *_of_dora(), *_of_preferences(), *_of_images()]
    assert len({run.id for run in runs}) == len(runs)
    return runs


def _by_engine() -> Iterator[Run]:
    for engine in ENGINES:
        yield Run(engine)
        yield Run(engine, accumulation=2)
        yield Run(engine, method="lora")
        yield Run(engine, method="lora", checkpointing="all")
    for engine in ENGINES[3:]:
        yield Run(engine, checkpointing="all")
        yield Run(engine, method="lora", accumulation=2)


def _quantised() -> Iterator[Run]:
    for engine in ENGINES:
        yield Run(engine, method="qlora4")
    yield Run("zero3", method="qlora4", checkpointing="all")
    yield Run("fsdp2", method="qlora4", checkpointing="all")
    yield Run("zero2", method="qlora8")
    yield Run("zero3", method="qlora8")
    yield Run("fsdp2", method="qlora8")


def _offloaded() -> Iterator[Run]:
    for engine in ENGINES[2:5]:
        yield Run(engine, offload="optimizer")
        yield Run(engine, offload="optimizer", accumulation=2)
        yield Run(engine, offload="optimizer", method="lora")
    yield Run("zero3", offload="all")
    yield Run("zero3", offload="all", method="lora")
    yield Run("zero3", offload="all", method="qlora4", checkpointing="all")
    yield Run("fsdp2", offload="all")
    yield Run("fsdp2", offload="all", method="lora")


def _of_other_ranks() -> Iterator[Run]:
    for engine in ENGINES[1:]:
        yield Run(engine, ranks=1)
    yield Run("ddp", ranks=4, shape="odd")
    yield Run("zero1", ranks=4, shape="odd", zero=SMALL_BUCKET)
    yield Run("zero2", ranks=4, shape="odd", zero=SMALL_BUCKET)
    yield Run("zero2", ranks=4, shape="odd", offload="optimizer")
    yield Run("zero3", ranks=4, shape="odd")
    yield Run("zero3", ranks=4, shape="odd", method="lora", rank=6)
    yield Run("fsdp2", ranks=4, shape="odd")
    yield Run("fsdp2", ranks=4, shape="odd", method="lora", rank=6)
    yield Run("fsdp2", ranks=4, method="qlora4", rank=2)


def _of_dora() -> Iterator[Run]:
    for engine in ("ddp", "zero0", "zero1"):
        yield Run(engine, method="lora", accumulation=2, dora=True)  # type: ignore[arg-type]
    yield Run("zero2", method="lora", accumulation=2, checkpointing="all", dora=True)
    yield Run("fsdp2", method="lora", accumulation=2, checkpointing="all", dora=True)
    for engine in ("ddp", "zero1", "zero2", "fsdp2"):
        yield Run(engine, method="qlora4", dora=True)  # type: ignore[arg-type]


def _of_preferences() -> Iterator[Run]:
    for engine in ENGINES:
        if engine != "fsdp2":  # there TRL makes one unit of the copy, and finefit refuses it
            yield Run(engine, reference="model")
        yield Run(engine, reference="precomputed")
        yield Run(engine, method="lora", reference="adapter_off")
        yield Run(engine, method="lora", accumulation=2, checkpointing="all", reference="adapter_off")
        yield Run(engine, method="qlora4", checkpointing="all", reference="adapter_off")
    yield Run("ddp", method="qlora4", reference="model")
    yield Run("zero2", method="qlora4", reference="model")
    for engine in ENGINES[3:5]:
        yield Run(engine, offload="optimizer", reference="model")
        yield Run(engine, shape="tied", reference="model")
        yield Run(engine, ranks=4, shape="odd", method="lora", reference="adapter_off")


def _of_images() -> Iterator[Run]:
    for engine in ENGINES:
        yield Run(engine, shape="seeing")
        yield Run(engine, shape="seeing", tower="frozen", accumulation=2)
        yield Run(engine, shape="seeing", method="lora", checkpointing="all")
        yield Run(engine, shape="seeing", method="qlora4", checkpointing="all", tower="frozen")
    for engine in ENGINES[3:5]:
        yield Run(engine, shape="seeing", method="lora", accumulation=2)
        yield Run(engine, shape="seeing", offload="optimizer")


def _of_other_shapes() -> Iterator[Run]:
    yield Run("ddp", shape="tied")
    yield Run("zero1", shape="tied", zero=OVERLAPPED)
    yield Run("zero2", shape="tied", zero=OVERLAPPED)
    yield Run("zero2", zero=OVERLAPPED, accumulation=2)
    yield Run("zero3", shape="tied", zero=SUB_GROUPS)
    yield Run("zero3", shape="wide", zero=FEW_LIVE)
    yield Run("fsdp2", shape="tied", reshard=False)
    yield Run("fsdp2", shape="wide", reshard=False)
    yield Run("zero2", shape="qwen")
    yield Run("zero3", shape="qwen")
    yield Run("zero3", shape="qwen", method="lora", checkpointing="all")
    yield Run("fsdp2", shape="qwen")
    yield Run("fsdp2", shape="qwen", method="lora")


def _of_other_steps() -> Iterator[Run]:
    """Other losses and optimizers, and steps that are the peak."""
    for engine in ENGINES[2:]:
        yield Run(engine, **SHORT)  # type: ignore[arg-type]
    for engine in ENGINES[4:]:
        yield Run(engine, shape="tied", loss="full")
        yield Run(engine, shape="tied", method="lora")
    for engine in ENGINES[3:]:
        yield Run(engine, loss="full")
        yield Run(engine, loss="full", method="lora")
        yield Run(engine, optim="adamw_torch", **SHORT)  # type: ignore[arg-type]
        yield Run(engine, optim="adamw_8bit", **SHORT)  # type: ignore[arg-type]


def _fsdp1() -> Iterator[Run]:
    for method in ("full", "lora", "qlora4"):
        yield Run("fsdp1", method=method)  # type: ignore[arg-type]
        yield Run("fsdp1", method=method, checkpointing="all")  # type: ignore[arg-type]
    yield Run("fsdp1", shape="tied")
    yield Run("fsdp1", shape="tied", loss="full", optim="adamw_torch", **SHORT)  # type: ignore[arg-type]
    yield Run("fsdp1", ranks=4, shape="odd")
    yield Run("fsdp1", ranks=4, shape="odd", method="lora", rank=6)


def _on_one_rank() -> Iterator[Run]:
    """Where nothing is divided: what an engine adds, and what it offloads."""
    for engine in ENGINES[3:5]:
        yield Run(engine, ranks=1, method="lora")
        yield Run(engine, ranks=1, method="lora", checkpointing="all", accumulation=2)
        yield Run(engine, ranks=1, method="qlora4", checkpointing="all")
        yield Run(engine, ranks=1, offload="optimizer")
        yield Run(engine, ranks=1, offload="optimizer", accumulation=2)
        yield Run(engine, ranks=1, offload="optimizer", method="lora")
    yield Run("zero3", ranks=1, offload="all")
    yield Run("zero3", ranks=1, offload="all", method="lora")
