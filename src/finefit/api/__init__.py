"""The verbs, composed by plain arguments, from `estimate` to `prices`."""

from __future__ import annotations

from .asked import REFERENCE_GPU, answer_of, images_of, method_of
from .estimating import estimate, estimate_answer, estimate_rows
from .files import launch, plan_files, write_files
from .guiding import guide, write_guide, writer_of
from .planning import plan
from .pricing import prices
from .running import generate, plan_job, read_receipt, train
from .tabling import COUNTS, METHODS, matrix

__all__ = [
    "COUNTS",
    "METHODS",
    "REFERENCE_GPU",
    "answer_of",
    "estimate",
    "estimate_answer",
    "estimate_rows",
    "generate",
    "guide",
    "images_of",
    "launch",
    "matrix",
    "method_of",
    "plan",
    "plan_files",
    "plan_job",
    "prices",
    "read_receipt",
    "train",
    "write_files",
    "write_guide",
    "writer_of",
]
