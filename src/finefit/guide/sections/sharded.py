"""ZeRO on 2, 4 and 8 GPUs: memory of each."""

from __future__ import annotations

from collections.abc import Iterator

from finefit.nouns.engine import ZeroStage
from finefit.nouns.estimate import Estimate
from finefit.nouns.job import MethodName

from ..blocks import Bar, Block, Cell, Chart, Heading, Paragraph, size, table
from ..subject import REFERENCE, Missing, Subject
from ..words import between, device, missing

COUNTS = (2, 4, 8)
STAGES: tuple[tuple[str, ZeroStage | None], ...] = (
    ("DDP: nothing is divided", None),
    ("ZeRO 1: the optimizer's state", 1),
    ("ZeRO 2: and gradients", 2),
    ("ZeRO 3: and parameters", 3),
)


def sharded(subject: Subject) -> Iterator[Block]:
    yield Heading("Memory of each GPU with ZeRO")
    yield Paragraph(
        f"The recipe's micro-batch on each of several {REFERENCE}, of the GPU that takes most. DeepSpeed keeps trained "
        "weights in half precision beside a float32 copy that the optimizer steps, with autocast off; DDP runs the "
        "recipe as it is, so its row and the others differ in more than what is divided."
    )
    own = subject.job.method
    methods: tuple[MethodName, ...] = ("full",) if own == "full" else (own, "full")
    for method in methods:
        yield Heading(f"Method {method}", 3)
        yield from _of_method(subject, method)


def _of_method(subject: Subject, method: MethodName) -> Iterator[Block]:
    found = {
        (name, count): subject.estimate(subject.sharded(method, REFERENCE, count, stage))
        for name, stage in STAGES
        for count in COUNTS
    }
    known = {key: one for key, one in found.items() if isinstance(one, Estimate)}
    if known:
        rows = [
            (name, *(_cell(known.get((name, count))) for count in COUNTS))
            for name, _ in STAGES
            if any((name, count) in known for count in COUNTS)
        ]
        columns = tuple(f"each of {count} GPUs, likely" for count in COUNTS)
        yield table(("engine", *columns), rows)
        names = [str(row[0]) for row in rows]
        ranges = [(name, *(_range(known.get((name, count))) for count in COUNTS)) for name in names]
        yield table(("engine", *(f"each of {count} GPUs, range" for count in COUNTS)), ranges)
        bars = [
            Bar(f"{name.partition(':')[0]}, {count} GPUs", ((LIKELY, device(one).typical),))
            for (name, count), one in known.items()
        ]
        yield Chart(f"Memory of each GPU, method {method}", "bytes", tuple(bars), is_told=True)
    for reason in dict.fromkeys(one.why for one in found.values() if isinstance(one, Missing)):
        yield missing("What is not in the table", Missing(reason))


LIKELY = "likely memory"


def _cell(one: Estimate | None) -> Cell:
    return "–" if one is None else size(device(one).typical)


def _range(one: Estimate | None) -> Cell:
    return "–" if one is None else between(device(one))
