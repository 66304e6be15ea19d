"""From what was measured on this machine to the quantities of the catalogue, in their place.

The fractions that kernels reach (`estimate/pace`) are of the catalogue's quantities: the best product that lasts, the
memory's and the links' rates on the data sheet. Products are measured as such. A copy reaches a part of the data
sheet's rate (`COPIED`, `PEER_COPIED`, `HOST_COPIED`, each with its source), so a measured copy stands for that much
more: a card that does as cards usually do gets the rate of its data sheet back.
Does not know: how much slower a run of hours is than products of seconds.
"""

from __future__ import annotations

from dataclasses import replace

from finefit.nouns.calibration import Calibration, What
from finefit.nouns.machine import Gpu

from .rates import Rates, is_catalogued, rates_of

COPIED = 0.887
"""Of the memory's rate: the middle of an RTX 4090 (921 of 1,008 GB/s), an A100 40GB (1,379 of 1,555; both
xytpai/nvbench, README) and a T4 (240 of 320; router-gao/cuda-demo, cuda-samples/02-cuda-bandwidth.md)."""
PEER_COPIED = 396 / 450
"""Of a link between two GPUs: two H200s (stas00/ml-engineering)."""
HOST_COPIED = 55 / 63
"""Of PCIe 5's, to the GPU (stas00/ml-engineering)."""
HALF: tuple[What, ...] = ("bfloat16 product", "float16 product")
FLOAT32: tuple[What, ...] = ("float32 product",)


def rates_on(gpu: Gpu) -> Rates | None:
    """The catalogue's, and what this machine knows better. None of a card that is in no catalogue, until it was
    measured."""
    found = None if gpu.here is None else gpu.here.calibration
    rates = rates_of(gpu.name) if is_catalogued(gpu.name) else _nothing_of(gpu, found)
    if rates is None or gpu.here is None:
        return rates
    rates = replace(rates, ratios=gpu.here.ratios)
    return rates if found is None else with_measured(rates, found)


def _nothing_of(gpu: Gpu, found: Calibration | None) -> Rates | None:
    """Of a card in no catalogue, for its figures to take the place of: None where one is missing. Other cards of its
    kind are taken to be reached over PCIe, unless a copy to one was timed."""
    host = None if found is None else found.best("copy from host")
    if found is None or host is None or not all(found.best(*whats) for whats in (HALF, FLOAT32, ("copy",))):
        return None
    peer, is_consumer = host / HOST_COPIED, "geforce" in gpu.name.lower()
    return Rates(0.0, 0.0, "measured", 0.0, 0.0, peer, gpu.native_bf16, is_consumer)


def with_measured(rates: Rates, found: Calibration) -> Rates:
    """What was not measured stays."""
    half = found.best("lasting product") or found.best(*HALF)
    memory = _slowest(found, "copy", "addition")
    peer, host = found.best("copy to peer"), found.best("copy from host")
    return replace(
        rates,
        memory=rates.memory if memory is None else memory / COPIED,
        half=half or rates.half,
        half_basis="measured" if half else rates.half_basis,
        float32=found.best("float32 product") or rates.float32,
        host=rates.host if host is None else host / HOST_COPIED,
        peer=rates.peer if peer is None else peer / PEER_COPIED,
        peer_basis=rates.peer_basis if peer is None else "measured",
        forward_start=found.best("forward kernel") or rates.forward_start,
        backward_start=found.best("backward kernel") or rates.backward_start,
        measured=found.measured_at,
    )


def _slowest(found: Calibration, *whats: What) -> float | None:
    return min((rate for what in whats if (rate := found.best(what)) is not None), default=None)
