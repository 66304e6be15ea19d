"""The section of docs/accuracy.md on several ranks, made of what is stored alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from .exceptions import EXCEPTIONS
from .phases import Found
from .runs import Name
from .stored import Measured, composed_before, read, refused, stored

ENGINES: dict[Name, str] = {
    "ddp": "DDP",
    "zero0": "DeepSpeed, stage 0",
    "zero1": "ZeRO 1",
    "zero2": "ZeRO 2",
    "zero3": "ZeRO 3",
    "fsdp2": "FSDP2",
    "fsdp1": "FSDP1",
}


@dataclass(frozen=True)
class Errors:
    """Of one run, in percent: of every phase's peak on every rank, and of what each rank holds after two steps."""

    peaks: tuple[float, ...]
    held: tuple[float, ...]


def section() -> list[str]:
    runs = [run for run in stored() if run.run.id not in EXCEPTIONS]
    return [
        "## Several ranks",
        "",
        "Real training on 1, 2 and 4 ranks of a processor (`python validation/ranks.py`): TRL's trainer with tiny",
        "models, full, LoRA and 4-bit, with and without offload, accumulation and checkpointing, under each engine.",
        "Composed is one rank's step, from a rehearsal of one rank alone. *Peaks*: of forward, backward and step, in",
        "each of two optimizer steps, on every rank. *Held*: parameters, gradients, the optimizer's state with float32",
        "copies, and all else, after the second step; an error is a share of all that the rank holds.",
        "",
        "| engine | runs | peaks | median | worst | held: median | worst |",
        "|---|---|---|---|---|---|---|",
        *[_row(name, [run for run in runs if run.run.engine == engine]) for engine, name in ENGINES.items()],
        "",
        f"Measured with {_versions()}. This is a processor's memory, and gloo: streams, NCCL's buffers and reserved",
        "memory were not measured; what is offloaded is counted with what stays, since host and device are one there.",
        "",
        *[f"- not in the table: {name}: {misfit.why}" for name, misfit in EXCEPTIONS.items()],
        *[f"- {name} does not run: `{error}`" for name, error in refused().items()],
    ]


def _row(name: str, runs: list[Measured]) -> str:
    composed = composed_before()
    errors = [errors_of(run, composed[run.run.id]) for run in runs]
    peaks, held = [e for each in errors for e in each.peaks], [e for each in errors for e in each.held]
    return (
        f"| {name} | {len(runs)} | {len(peaks)} | {median(peaks):.3f} % | {max(peaks):.2f} %"
        f" | {median(held):.3f} % | {max(held):.2f} % |"
    )


def errors_of(run: Measured, ranks: Sequence[Found]) -> Errors:
    """`ranks`: as they are composed."""
    return Errors(tuple(_of_peaks(run, ranks)), tuple(_of_held(run, ranks)))


def _of_peaks(run: Measured, ranks: Sequence[Found]) -> Iterator[float]:
    for measured, composed in zip(run.ranks, ranks, strict=True):
        for key, (_, peak, _) in measured.phases.items():
            yield 100 * abs(composed.phases[key][1] / peak - 1)


def _of_held(run: Measured, ranks: Sequence[Found]) -> Iterator[float]:
    for measured, composed in zip(run.ranks, ranks, strict=True):
        total = sum(measured.held.values())
        for what, nbytes in measured.held.items():
            yield 100 * abs(composed.held[what] - nbytes) / total


def _versions() -> str:
    stacks = {tuple(result["stack"].items()) for result in read().values()}
    return "; ".join(", ".join(f"{name} {version}" for name, version in stack) for stack in sorted(stacks))
