"""The section of docs/accuracy.md on our own measurements, made of the receipts in tests/receipts alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median

from percentiles import at_95

from finefit.units import GIB

from . import predictions
from .compare import EXCEPTIONS, Gap, gaps, unpredicted
from .design import all_points
from .receipts import Receipt, stored

INTRODUCTION = [
    "## Our own measurements",
    "",
    "Made by the proof kit (`python validation/grid.py`, see `validation/README.md`): the real training step on random",
    "weights, one fresh process for each point. Predictions were made with the point's recipe alone.",
    "",
]


def headline() -> str:
    gpus = sorted({gap.gpu for gap in gaps(stored("cuda"))})
    if not gpus:
        return "We measured no GPU ourselves yet; what processors showed is at the end."
    return f"What we measured ourselves ({', '.join(gpus)}) is at the end."


def section() -> list[str]:
    return [*INTRODUCTION, *_of_gpus(stored("cuda")), "", *_of_processors(stored("cpu"))]


def _of_gpus(receipts: Sequence[Receipt]) -> list[str]:
    if not receipts:
        return [
            f"**No GPU was measured yet.** The grid has {len(all_points())} points. What is predicted of"
            f" {len(predictions.read())} of them, for an",
            f"{predictions.REFERENCE_GPU}, is stored before anything is measured (`validation/kit/predicted.json`).",
        ]
    found = gaps(receipts)
    out = sum(1 for one in receipts if one.get("measured", {}).get("out_of_memory"))
    failed = Counter(one["failed"].split(":")[0] for one in receipts if "failed" in one)
    return [
        "| GPU | memory | points | median | 95th percentile | worst |",
        "|---|---|---|---|---|---|",
        *[line for gpu in sorted({gap.gpu for gap in found}) for line in _summary(gpu, found)],
        "",
        f"{out} points ran out of memory; {failed.total()} failed otherwise"
        + "".join(f"; {count} × {reason}" for reason, count in failed.items())
        + f"; {len(unpredicted(receipts))} could not be predicted.",
        "",
        "| point | GPU | allocated: measured GiB | predicted | error | reserved: measured | predicted | error "
        "| context |",
        "|---|---|---|---|---|---|---|---|---|",
        *[_row(gap) for gap in found],
        *[f"\nOutside of the promise: {name}, because {cause}" for name, cause in EXCEPTIONS.items()],
    ]


def _summary(gpu: str, found: Sequence[Gap]) -> list[str]:
    mine = [gap for gap in found if gap.gpu == gpu]
    allocated = [abs(gap.allocated_percent) for gap in mine]
    reserved = [abs(gap.reserved_percent) for gap in mine if gap.reserved_percent is not None]
    return [
        f"| {gpu} | {kind} | {len(errors)} | {median(errors):.2f} % | {at_95(errors):.2f} % | {max(errors):.2f} % |"
        for kind, errors in (("allocated", allocated), ("reserved", reserved))
        if errors
    ]


def _row(gap: Gap) -> str:
    reserved = ("", "", "")
    if gap.reserved is not None and gap.predicted_reserved is not None:
        error = f"{gap.reserved_percent:+.2f} %"
        reserved = (f"{gap.reserved / GIB:.3f}", f"{gap.predicted_reserved / GIB:.3f}", error)
    context = "" if gap.context is None else f"{gap.context / GIB:.3f}"
    return (
        f"| {gap.id} | {gap.gpu} | {gap.allocated / GIB:.3f} | {gap.predicted_allocated / GIB:.3f}"
        f" | {gap.allocated_percent:+.2f} % | {' | '.join(reserved)} | {context} |"
    )


def _of_processors(receipts: Sequence[Receipt]) -> list[str]:
    """Small models of the same kinds, where every byte can be seen."""
    lines = [
        "On processors the recorder sees every byte of the real step. There the same kinds of points were trained with",
        "small models. This proves the rehearsal, not the rules of `worker/rules` for what a GPU does otherwise.",
        "",
        "| measured with | predicted with | points | every phase to the byte | largest difference |",
        "|---|---|---|---|---|",
    ]
    pairs = sorted({_stacks(one) for one in receipts})
    return lines + [_exactness(pair, [one for one in receipts if _stacks(one) == pair]) for pair in pairs]


def _exactness(stacks: tuple[str, str], receipts: Sequence[Receipt]) -> str:
    exact = sum(1 for one in receipts if one["measured"]["phases"] == one["predicted"]["phases"])
    apart = max(abs(gap.predicted_allocated - gap.allocated) for gap in gaps(receipts))
    worst = max(abs(gap.allocated_percent) for gap in gaps(receipts))
    return f"| {stacks[0]} | {stacks[1]} | {len(receipts)} | {exact} | {apart} bytes, {worst:.3f} % |"


def _stacks(receipt: Receipt) -> tuple[str, str]:
    """Versions it was measured with, and predicted with."""
    return _versions(receipt["stack"]), _versions(receipt["predicted"]["stack"])


def _versions(stack: dict[str, str]) -> str:
    return f"torch {stack['torch'].partition('+')[0]}, transformers {stack['transformers']}"
