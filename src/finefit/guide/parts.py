"""The lines of a ledger, put together as people speak of memory."""

from __future__ import annotations

from collections.abc import Mapping

from finefit.nouns.estimate import Estimate
from finefit.nouns.ledger import Ledger, Line

WEIGHTS, ADAPTERS, GRADIENTS, OPTIMIZER = "weights", "adapters", "gradients", "optimizer state"
ACTIVATIONS, LOGITS, WORK, OTHER = "activations", "logits", "temporaries", "batch, buckets and others"
SLACK, CONTEXT = "reserved, not used", "CUDA context"
ORDER = (WEIGHTS, ADAPTERS, GRADIENTS, OPTIMIZER, ACTIVATIONS, LOGITS, WORK, OTHER, SLACK, CONTEXT)
NAMED: Mapping[str, str] = {
    "weights": WEIGHTS, "vision tower: weights": WEIGHTS, "gathered parameters": WEIGHTS, "buffers": WEIGHTS,
    "reference model": WEIGHTS, "adapters": ADAPTERS, "gradients": GRADIENTS, "optimizer state": OPTIMIZER,
    "float32 weights": OPTIMIZER, "checkpointed layer inputs": ACTIVATIONS, "KV cache": ACTIVATIONS,
}  # fmt: skip
STATES = (WEIGHTS, ADAPTERS, GRADIENTS, OPTIMIZER)


def part_of(line: Line) -> str:
    if line.what in NAMED:
        return NAMED[line.what]
    if line.what.startswith("logits"):
        return LOGITS
    if line.what.endswith("saved for backward"):
        return ACTIVATIONS
    return WORK if line.what.endswith(("temporaries", "workspace")) else OTHER


def at_peak(ledger: Ledger) -> dict[str, int]:
    """What is alive at the fullest moment; all of it together is what is allocated."""
    found = dict.fromkeys(ORDER, 0)
    for line in ledger.lines:
        found[part_of(line)] += line.nbytes
    return {name: nbytes for name, nbytes in found.items() if nbytes}


def on_device(estimate: Estimate) -> dict[str, int]:
    """And what the allocator keeps beside it, and CUDA: together the likely device memory."""
    ledger = estimate.ledger
    found = at_peak(ledger)
    if ledger.reserved is not None and ledger.device is not None:
        found[SLACK] = ledger.reserved.typical - ledger.peak_bytes
        found[CONTEXT] = ledger.device.typical - ledger.reserved.typical
    return found
