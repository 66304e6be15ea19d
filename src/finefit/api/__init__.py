"""The verbs, composed by plain arguments, from `estimate` to `prices`. Each is imported as it is first asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .answering import chat, compare, generate, generate_file
    from .asked import REFERENCE_GPU, answer_of, images_of, method_of
    from .calibrating import calibrate
    from .estimating import estimate
    from .estimating_answers import estimate_answer
    from .exporting import export
    from .files import launch, plan_files, write_files
    from .guiding import guide, write_guide, writer_of
    from .job_plan import plan_job
    from .own_rows import estimate_rows
    from .planning import plan
    from .pricing import prices
    from .running import read_receipt, train
    from .scanning import data
    from .tabling import COUNTS, METHODS, matrix

HOMES = {
    "answering": ("chat", "compare", "generate", "generate_file"),
    "asked": ("REFERENCE_GPU", "answer_of", "images_of", "method_of"),
    "calibrating": ("calibrate",),
    "estimating": ("estimate",),
    "estimating_answers": ("estimate_answer",),
    "exporting": ("export",),
    "files": ("launch", "plan_files", "write_files"),
    "guiding": ("guide", "write_guide", "writer_of"),
    "job_plan": ("plan_job",),
    "own_rows": ("estimate_rows",),
    "planning": ("plan",),
    "pricing": ("prices",),
    "running": ("read_receipt", "train"),
    "scanning": ("data",),
    "tabling": ("COUNTS", "METHODS", "matrix"),
}
"""The module of each name, since all of them together take a third of a second to import."""

__all__ = [
    "COUNTS",
    "METHODS",
    "REFERENCE_GPU",
    "answer_of",
    "calibrate",
    "chat",
    "compare",
    "data",
    "estimate",
    "estimate_answer",
    "estimate_rows",
    "export",
    "generate",
    "generate_file",
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


def __getattr__(name: str) -> object:
    for module, names in HOMES.items():
        if name in names:
            return getattr(import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
