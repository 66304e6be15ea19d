"""Checking the setup, and watching a run against what was computed for it."""

from __future__ import annotations

from collections.abc import Iterator

from ..blocks import Block, Bullets, Code, Heading, Paragraph, size, table
from ..subject import Subject
from ..words import between, device

CHECK = """import torch
print("CUDA:", torch.cuda.is_available())
if torch.cuda.is_available():
    card = torch.cuda.get_device_properties(0)
    print(card.name, f"{card.total_memory / 2**30:.2f} GiB", "bf16:", torch.cuda.is_bf16_supported())"""
WATCH = """nvidia-smi --query-gpu=memory.used,memory.total,utilization.gpu,power.draw --format=csv -l 1"""
INSIDE = """import torch

def memory(where):
    done, held = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
    print(f"{where}: {done / 2**30:.2f} GiB allocated, {held / 2**30:.2f} GiB reserved at most")"""


def monitoring(subject: Subject) -> Iterator[Block]:
    base = subject.base
    yield Heading("Checking and monitoring")
    yield Heading("Before", 3)
    yield Code("python", CHECK)
    yield Heading("During", 3)
    yield Code("bash", WATCH)
    yield Code("python", INSIDE)
    yield Paragraph("What these should show for the recipe, once two steps are done:")
    rows = [
        ("torch.cuda.max_memory_allocated", size(base.ledger.peak_bytes), "at the fullest moment of a step"),
        ("nvidia-smi, memory.used", between(device(base)), "if nothing else uses the GPU"),
    ]
    if base.ledger.reserved is not None:
        rows.insert(1, ("torch.cuda.max_memory_reserved", between(base.ledger.reserved), "by the history of lengths"))
    rows += [(f"allocated after {name}", size(nbytes), "highest of the phase") for name, nbytes in _phases(subject)]
    yield table(("what", "expected", "when"), rows)
    yield Bullets(
        (
            "`memory.used` stays where it is after the second step: the first lacks the optimizer's state. What grows "
            "later comes from longer rows, or from a loop that keeps tensors.",
            "More than the highest figure: another recipe is running than the one computed; compare precision, "
            "attention, loss and checkpointing first.",
            "A GPU that is often idle waits for data, for Python or for other GPUs: the shares of a step's time say "
            "how much of that is foreseen.",
            "A run of `finefit train` ends with a receipt: predicted beside measured, by phase.",
        )
    )


def _phases(subject: Subject) -> list[tuple[str, int]]:
    return [(name, nbytes) for name, nbytes in subject.base.ledger.phases.items() if name != "peak"]
