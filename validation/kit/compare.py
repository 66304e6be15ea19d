"""Predicted beside measured, of collected receipts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .receipts import Receipt

ALLOCATED_PERCENT = 1.0
RESERVED_PERCENT = 3.0
"""What the estimates promise, reserved memory where the range that they give is not wider."""

EXCEPTIONS: dict[str, str] = {}
"""Points whose promise is not kept, each with its named cause. None is known: no GPU was measured yet."""


@dataclass(frozen=True)
class Gap:
    id: str
    gpu: str
    allocated: int
    predicted_allocated: int
    reserved: int | None
    # None on a processor
    predicted_reserved: int | None
    reserved_range: tuple[int, int] | None
    # in which it was predicted to lie, for rows of one length
    context: int | None

    @property
    def allocated_percent(self) -> float:
        return 100 * (self.predicted_allocated - self.allocated) / self.allocated

    @property
    def reserved_percent(self) -> float | None:
        if self.reserved is None or self.predicted_reserved is None:
            return None
        return 100 * (self.predicted_reserved - self.reserved) / self.reserved

    @property
    def is_kept(self) -> bool:
        return abs(self.allocated_percent) <= ALLOCATED_PERCENT and self._reserved_is_kept

    @property
    def _reserved_is_kept(self) -> bool:
        if self.reserved is None or self.reserved_percent is None or self.reserved_range is None:
            return True
        low, high = self.reserved_range
        return abs(self.reserved_percent) <= RESERVED_PERCENT or low <= self.reserved <= high


def gaps(receipts: Iterable[Receipt]) -> list[Gap]:
    """Of the points that were trained to their end, and could be predicted."""
    done = [one for one in receipts if "measured" in one and not one["measured"].get("out_of_memory")]
    return [gap_of(one) for one in done if "failed" not in one["predicted"]]


def unpredicted(receipts: Iterable[Receipt]) -> list[str]:
    return [one["id"] for one in receipts if "failed" in one["predicted"]]


def gap_of(receipt: Receipt) -> Gap:
    measured, predicted = receipt["measured"], receipt["predicted"]
    return Gap(
        id=receipt["id"],
        gpu=receipt["stack"].get("torch_gpu") or "cpu",
        allocated=measured["allocated_bytes"],
        predicted_allocated=predicted["allocated_bytes"],
        reserved=measured.get("reserved_bytes"),
        predicted_reserved=predicted["reserved_bytes"],
        reserved_range=tuple(predicted["reserved_range_bytes"]) if "reserved_range_bytes" in predicted else None,
        context=(measured.get("device") or {}).get("context_bytes"),
    )


CONTEXT = 1 << 30
"""More than the CUDA context and the libraries take on any card that is known (catalog/contexts.csv)."""


def told_to_fit(receipts: Iterable[Receipt]) -> list[str]:
    """Points that ran out of memory although what they reserve was predicted to fit, as exactly as is promised."""
    wrong = []
    for one in receipts:
        if "measured" in one and one["measured"].get("out_of_memory"):
            said, total = one["predicted"].get("reserved_bytes"), one["stack"]["torch_total_bytes"]
            wrong += [one["id"]] if said is not None and said < (1 - RESERVED_PERCENT / 100) * total - CONTEXT else []
    return wrong
