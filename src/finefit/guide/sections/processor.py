"""Training without a GPU: its memory, and the time as arithmetic from what a processor reaches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..blocks import Block, Bullets, Code, Heading, Paragraph, Quantity, size, table
from ..subject import Missing, Subject
from ..words import missing

REACHED = (0.1, 0.5, 2.0)
"""TFLOP/s that the table is made for; a question, not a measurement: the code beside it measures."""
MEASURE = """import time, torch
a, b = torch.randn(4096, 4096), torch.randn(4096, 4096)
a @ b
start = time.perf_counter(); [a @ b for _ in range(5)]
print(5 * 2 * 4096**3 / (time.perf_counter() - start) / 1e12, "TFLOP/s")"""


def processor(subject: Subject) -> Iterator[Block]:
    yield Heading("Training on the CPU")
    job = replace(subject.base_job, gpu="cpu", dtype=None, mixed_precision=None)
    if job.method.startswith("qlora"):
        job = replace(job, method="lora")
        yield Paragraph("Quantised training is for GPUs: on the processor it is LoRA beside whole weights, in float32.")
    one = subject.estimate(job)
    if isinstance(one, Missing):
        yield missing("The memory of a step on the processor", one)
    elif one.host is not None:
        yield table(
            ("what", "memory"),
            [
                ("the step's tensors, at its peak", size(one.ledger.peak_bytes)),
                ("host memory", size(one.host.ram_bytes)),
            ],
        )
    yield from _time(subject)
    yield Bullets(
        (
            "Acceptable: to test code with a few steps, to train a few hundred short rows, to write single answers.",
            "Not acceptable: a whole run of a model of this size, as the table says.",
        )
    )


def _time(subject: Subject) -> Iterator[Block]:
    pace, hours = subject.base.pace, subject.hours(subject.base)
    if pace is None or hours is None:
        return
    yield Paragraph(
        f"One optimizer step of the recipe is {pace.operations / 1e12:,.1f} TFLOP. How fast a processor is was not "
        "measured, so the table is arithmetic: operations by what yours reaches in float32, which the code says. The "
        "GPU is the recipe's own, as computed for it."
    )
    rows = [
        (
            f"{subject.base.machine.name}, computed",
            Quantity(pace.step_seconds, "seconds"),
            Quantity(hours.seconds, "seconds"),
            Quantity(1.0, "times"),
        )
    ]
    for reached in REACHED:
        step = pace.operations / (reached * 1e12)
        times = Quantity(step / pace.step_seconds, "times")
        rows.append(
            (
                f"a processor that reaches {reached:g} TFLOP/s",
                Quantity(step, "seconds"),
                Quantity(step * hours.steps, "seconds"),
                times,
            )
        )
    yield table(("on", "a step", "the whole run", "longer than the GPU"), rows)
    yield Code("python", MEASURE)
