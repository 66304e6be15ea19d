"""What spreads a training step over several GPUs: a closed union, matched with `assert_never`.

All sizes are DeepSpeed's own words (`zero_optimization`), in elements.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, assert_never

ZeroStage = Literal[0, 1, 2, 3]
Offload = Literal["none", "optimizer", "all"]
"""What lives in the host's memory: nothing, the optimizer's state, or the parameters too."""

HELD = ("parameters", "gradients", "optimizer state")
"""Kinds of what a rank holds between two steps, as predicted and as measured."""


@dataclass(frozen=True)
class DDP:
    """torch's DistributedDataParallel: every rank holds everything, gradients are averaged."""

    ranks: int


@dataclass(frozen=True)
class Buckets:
    """How much DeepSpeed moves at a time."""

    reduce_bucket_size: int
    stage3_prefetch_bucket_size: int
    stage3_param_persistence_threshold: int
    stage3_max_live_parameters: int = 1_000_000_000
    stage3_max_reuse_distance: int = 1_000_000_000
    sub_group_size: int = 1_000_000_000
    overlap_comm: bool = False


@dataclass(frozen=True)
class DeepSpeed:
    """ZeRO: each stage divides more among the ranks: the optimizer's state, the gradients, the parameters."""

    ranks: int
    stage: ZeroStage
    offload: Offload
    buckets: Buckets


@dataclass(frozen=True)
class FSDP2:
    """torch's fully_shard, as accelerate applies it: one unit a layer."""

    ranks: int
    offload: bool = False
    reshard_after_forward: bool = True


@dataclass(frozen=True)
class FSDP1:
    """torch's FullyShardedDataParallel, one flat parameter a layer, as accelerate and transformers apply it. Only
    validation chooses it."""

    ranks: int
    mixed: bool = True
    # what is trained is float32 in its parts and half as it is gathered; else as it was loaded
    prefetches: bool = True
    # the next layer while one runs backward; reentrant checkpoints run their forward without a graph, and it cannot


Engine = DDP | DeepSpeed | FSDP2 | FSDP1


def divided_by(engine: Engine | None) -> frozenset[str]:
    """What of a training step each rank holds a part of: `master` is the float32 copy of what is trained."""
    match engine:
        case FSDP2() | FSDP1():
            return frozenset(("weight", "adapter", "gradient", "optimizer", "master"))
        case DeepSpeed(stage=stage):
            by_stage = (1, ("optimizer", "master")), (2, ("gradient",)), (3, ("weight", "adapter"))
            return frozenset(name for first, names in by_stage if stage >= first for name in names)
        case DDP() | None:
            return frozenset()
        case _:
            assert_never(engine)


def is_plain(engine: Engine | None) -> bool:
    """Each rank runs one GPU's own step: nothing is divided, and no engine steps the optimizer."""
    return engine is None or isinstance(engine, DDP)


def words_of(engine: Engine, parts: str = "GPUs") -> str:
    """`parts`: of the machine, each a rank."""
    match engine:
        case DDP():
            return f"DDP on {_of(engine.ranks, parts)}"
        case DeepSpeed():
            away = {"none": "", "optimizer": ", optimizer offloaded", "all": ", optimizer and parameters offloaded"}
            return f"DeepSpeed ZeRO {engine.stage} on {_of(engine.ranks, parts)}{away[engine.offload]}"
        case FSDP2():
            return f"FSDP2 on {_of(engine.ranks, parts)}{', offloaded' if engine.offload else ''}"
        case FSDP1():
            return f"FSDP1 on {_of(engine.ranks, parts)}"
        case _:
            assert_never(engine)


def _of(ranks: int, parts: str) -> str:
    return "one GPU" if ranks == 1 else f"{ranks} {parts}"
