"""A run's result as one model for others, and how far it is from what was trained."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Apart:
    """Two models' logits of the same rows."""

    max_difference: float
    mean_difference: float


@dataclass(frozen=True)
class Exported:
    folder: str
    dtype: str
    # of the saved weights
    nbytes: int
    files: int
    merged: int
    # weights that the adapter was added to
    dequantized: int
    # weights that the run had quantised, and that are saved as they were multiplied
    grown_bytes: int
    # of the process while it merged, measured
    largest_file_bytes: int
    rows: int
    # compared; none: the run's rows are gone, and a greeting stood in
    difference: Apart
    tolerance: float
    from_trained: Apart | None = None
    # where `difference` is not to the trained model: in 8 bits, and on the original weights of a quantised base
    gguf: str | None = None
    pushed: str | None = None
    # the page of its commit on the hub
