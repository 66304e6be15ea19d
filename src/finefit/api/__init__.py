"""The verbs, composed by plain arguments, from `estimate` to `guide`."""

from __future__ import annotations

from .asked import REFERENCE_GPU, answer_of, images_of, method_of
from .estimating import estimate, estimate_answer, estimate_rows
from .guiding import guide, write_guide, writer_of
from .planning import plan
from .pricing import prices
from .running import generate, plan_job, read_receipt, train

__all__ = [
    "REFERENCE_GPU", "answer_of", "estimate", "estimate_answer", "estimate_rows", "generate", "guide", "images_of",
    "method_of", "plan", "plan_job", "prices", "read_receipt", "train", "write_guide", "writer_of",
]  # fmt: skip
