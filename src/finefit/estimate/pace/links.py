"""What GPUs send each other in a step, and how much of it nothing hides.

Volumes are of ring algorithms: a rank sends (N-1)/N of what is gathered or reduced, twice that where all end with the
sum. DDP reduces while the last micro-batch goes backward; ZeRO 1 and 2 after it; ZeRO 3 and FSDP gather each layer for
forward and again for backward, while another layer runs. DeepSpeed: zero_optimization's stages; torch:
fully_shard, DistributedDataParallel.
Knows: one machine, links of the data sheet. Does not know: how slow a card's way is that cannot reach its peers
directly (GeForce): it is taken for half of PCIe's rate; nor several machines.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import assert_never

from finefit.catalog.rates import Rates
from finefit.nouns.engine import DDP, FSDP1, FSDP2, DeepSpeed, Engine

REACHED = 0.75
"""Of a link's rate: 367 of 450 GB/s between eight H100s, 396 of 450 between two H200s (stas00/ml-engineering), less for
messages of the size of a layer."""
THROUGH_HOST = 0.5
"""Of PCIe's, where one GPU cannot write into another."""
CALL_SECONDS = 300e-6
"""To start one collective operation, with the hooks of its engine, and to wait for all ranks: what published runs of
FSDP took on two A100s beside one (fms-acceleration), divided by their operations."""
HOST_ADAM_BYTES_PER_SECOND = 40e9
"""Guessed: what a server's processor reads and writes in DeepSpeed's own Adam."""
HIDDEN = 0.8
"""Guessed: the part of a layer's time in which what comes next can be fetched."""


@dataclass(frozen=True)
class Sent:
    """In bytes of one rank and one optimizer step."""

    hidden_forward: float = 0.0
    # beside the kernels of every micro-batch: of one micro-batch
    hidden_last: float = 0.0
    # beside the backward of the last one
    after: float = 0.0
    # beside nothing
    calls: float = 0.0
    # collective operations of a step
    host: float = 0.0
    # over PCIe, to the host and back, in a step
    stepped_by_host: float = 0.0
    # bytes of the optimizer's state, gradients and parameters

    def in_a_step(self, micro_batches: int) -> float:
        """Between GPUs."""
        return self.hidden_forward * micro_batches + self.hidden_last + self.after


@dataclass(frozen=True)
class Sizes:
    """Of the whole model, in bytes."""

    weights: float
    # all parameters as they lie on GPUs
    gradients: float
    # as they are sent
    states: float
    # of the optimizer, with the float32 copy
    layers: int
    adapters: int = 0
    # modules that are one, each
    passes: int = 2
    # of a micro-batch that read all weights (`nouns/task.py`)


def sent(engine: Engine | None, sizes: Sizes, micro_batches: int) -> Sent:
    match engine:
        case None:
            return Sent()
        case DDP(ranks=ranks):
            return Sent(hidden_last=2 * _ring(ranks) * sizes.gradients, calls=_calls(ranks, sizes.layers))
        case DeepSpeed():
            return _deepspeed(engine, sizes, micro_batches)
        case FSDP2(ranks=ranks, offload=offload):
            return _gathering(ranks, sizes, micro_batches, is_away=offload)
        case FSDP1(ranks=ranks):  # PEFT's policy makes each adapter a unit of its own
            units = replace(sizes, layers=sizes.layers + sizes.adapters)
            return _gathering(ranks, units, micro_batches, is_away=False)
        case _:
            assert_never(engine)


def exposed(sent: Sent, rates: Rates, kernels: float, micro_batches: int) -> float:
    """Seconds of a step in which a GPU waits. `kernels`: seconds of one micro-batch."""
    link = peer(rates) * REACHED
    each = max(0.0, sent.hidden_forward / link - HIDDEN * kernels)
    last = max(0.0, sent.hidden_last / link - HIDDEN * kernels * 2 / 3)
    host = sent.host / (rates.host * REACHED) + sent.stepped_by_host / HOST_ADAM_BYTES_PER_SECOND
    return each * micro_batches + last + sent.after / link + sent.calls * CALL_SECONDS + host


def peer(rates: Rates) -> float:
    """GeForce cards are taken without the bridge that some of them can have, unless a copy between them was timed."""
    return rates.host * THROUGH_HOST if rates.is_consumer and rates.peer_basis != "measured" else rates.peer


def _deepspeed(engine: DeepSpeed, sizes: Sizes, micro_batches: int) -> Sent:
    ring, share = _ring(engine.ranks), 1 / engine.ranks
    away = {"none": 0.0, "optimizer": 2 * sizes.gradients * share, "all": 2 * sizes.gradients * share}[engine.offload]
    stepped = sizes.states * 2 * share if engine.offload != "none" else 0.0
    match engine.stage:
        case 0 | 1:
            volume = 2 * ring * sizes.gradients
            found = Sent(after=volume, calls=_calls(engine.ranks, 2))
        case 2:
            volume = ring * sizes.gradients * (micro_batches + 1)
            found = Sent(after=volume, calls=_calls(engine.ranks, sizes.layers * micro_batches))
        case 3:
            found = _gathering(engine.ranks, sizes, micro_batches, is_away=engine.offload == "all")
        case _:
            assert_never(engine.stage)
    return Sent(
        hidden_forward=found.hidden_forward,
        after=found.after,
        calls=found.calls,
        host=found.host + away,
        stepped_by_host=stepped,
    )


def _gathering(ranks: int, sizes: Sizes, micro_batches: int, *, is_away: bool) -> Sent:
    """Weights in every pass, and gradients once, in every micro-batch."""
    each = _ring(ranks) * (sizes.passes * sizes.weights + sizes.gradients)
    host = sizes.passes * sizes.weights / ranks * micro_batches + 2 * sizes.gradients / ranks if is_away else 0.0
    stepped = sizes.states * 2 / ranks if is_away else 0.0
    return Sent(
        hidden_forward=each,
        calls=_calls(ranks, (sizes.passes + 1) * sizes.layers * micro_batches),
        host=host,
        stepped_by_host=stepped,
    )


def _ring(ranks: int) -> float:
    return (ranks - 1) / ranks


def _calls(ranks: int, count: int) -> int:
    return count if ranks > 1 else 0
