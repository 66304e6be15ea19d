"""One rank's step under an engine, from the recording of a step that runs alone."""

from __future__ import annotations

from typing import assert_never

from finefit.catalog.optimizers import OPTIMIZERS
from finefit.nouns.engine import DDP, FSDP1, FSDP2, DeepSpeed, Engine
from finefit.nouns.recording import Recording

from . import ddp, fsdp1, fsdp2, zero0, zero3, zero12
from .states import Rank


def on_one_rank(recording: Recording, engine: Engine, optim: str, width: int, vram_bytes: int | None = None) -> Rank:
    """Of the rank that takes most. `width`: bytes of one element of a weight, as it is computed with; `vram_bytes`: of
    the GPU, where it is known."""
    match engine:
        case DDP():
            return ddp.compose(recording, engine, width)
        case DeepSpeed(stage=0):
            return zero0.compose(recording, OPTIMIZERS[optim], width)
        case DeepSpeed(stage=3):
            return zero3.compose(recording, engine, OPTIMIZERS[optim], width)
        case DeepSpeed():
            return zero12.compose(recording, engine, OPTIMIZERS[optim], width, vram_bytes=vram_bytes)
        case FSDP2():
            return fsdp2.compose(recording, engine, OPTIMIZERS[optim], width)
        case FSDP1():
            return fsdp1.compose(recording, engine, OPTIMIZERS[optim], width)
        case _:
            assert_never(engine)
