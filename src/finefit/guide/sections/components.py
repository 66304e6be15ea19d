"""Where the bytes are: by component, in each precision and with each method, and the arithmetic of each line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from finefit.nouns.estimate import Estimate
from finefit.nouns.job import MethodName
from finefit.nouns.knobs import Dtype, MixedPrecision
from finefit.search.dials import METHODS

from ..blocks import Bar, Block, Cell, Chart, Heading, Paragraph, size, table
from ..parts import ORDER, at_peak, on_device
from ..subject import Missing, Subject
from ..words import between, device, missing

PRECISIONS: Mapping[str, tuple[Dtype, MixedPrecision]] = {
    "float32": ("float32", "no"),
    "bfloat16 weights, autocast": ("bfloat16", "bf16"),
    "mixed: float32 weights, autocast to bfloat16": ("float32", "bf16"),
}
EXPLAINED = (
    "Each column is one real training step, rehearsed without weights, at the moment when most is alive: what is not "
    "alive then (gradients in the forward pass of full fine-tuning, for one) is not in it. `reserved, not used` is "
    "what PyTorch's caching allocator holds beside the tensors."
)


def components(subject: Subject) -> Iterator[Block]:
    yield Heading("Memory by component")
    yield Paragraph(EXPLAINED)
    yield Heading("In each precision", 3)
    yield from _compared(subject, "precision", _precisions(subject))
    yield Heading("With each method", 3)
    yield from _compared(subject, "method", _methods(subject))
    yield Heading("Where the bytes come from", 3)
    yield Paragraph("The recipe's own ledger at its peak; the lines add up to what is allocated.")
    rows = [(line.what, size(line.nbytes), line.phase, line.why) for line in subject.base.ledger.lines]
    yield table(("what", "memory", "born in", "arithmetic"), rows)
    phases = subject.base.ledger.phases.items()
    yield Paragraph("The highest of each phase:")
    yield table(("phase", "allocated at most"), [(name, size(nbytes)) for name, nbytes in phases])


def _precisions(subject: Subject) -> dict[str, Estimate | Missing]:
    method = subject.job.method
    jobs = {
        name: subject.with_method(method, dtype=dtype, mixed_precision=mixed)
        for name, (dtype, mixed) in PRECISIONS.items()
    }
    return {name: subject.estimate(job) for name, job in jobs.items()}


def _methods(subject: Subject) -> dict[str, Estimate | Missing]:
    own = subject.job.method
    names: tuple[MethodName, ...] = METHODS if own in METHODS else (*METHODS, own)
    return {name: subject.estimate(subject.with_method(name)) for name in names}


def _compared(subject: Subject, what: str, asked: Mapping[str, Estimate | Missing]) -> Iterator[Block]:
    known = {name: one for name, one in asked.items() if isinstance(one, Estimate)}
    if known:
        parts = {name: on_device(one) for name, one in known.items()}
        kept = [part for part in ORDER if any(part in held for held in parts.values())]
        rows: list[tuple[Cell, ...]] = [
            (part, *(size(held[part]) if part in held else "–" for held in parts.values())) for part in kept
        ]
        rows.append(("allocated", *(size(sum(at_peak(one.ledger).values())) for one in known.values())))
        rows.append(("on the device, likely", *(size(device(one).typical) for one in known.values())))
        rows.append(("on the device, range", *(between(device(one)) for one in known.values())))
        rows.append(("fullest in", *(one.ledger.peak_phase for one in known.values())))
        yield table(("component", *known), rows)
        bars = tuple(
            Bar(name, tuple((part, held[part]) for part in kept if part in held)) for name, held in parts.items()
        )
        yield Chart(f"Likely memory of the GPU by component, for each {what}", "bytes", bars, is_told=True)
    for name, one in asked.items():
        if isinstance(one, Missing):
            yield missing(name, one)
