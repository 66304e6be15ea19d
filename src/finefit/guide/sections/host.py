"""Beside the GPUs: processor cores, memory, disk and network."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from finefit.catalog.clouds import rows as cloud_rows
from finefit.nouns.estimate import Estimate
from finefit.nouns.host import MOMENTS, Host
from finefit.nouns.planned import Planned

from ..blocks import Block, Cell, Heading, Paragraph, Quantity, size, table
from ..subject import REFERENCE, Missing, Subject, card_of
from ..words import missing
from .sharded import STAGES

COUNT = 4


def host(subject: Subject) -> Iterator[Block]:
    yield Heading("CPU cores, memory, disk and network")
    base = subject.base.host
    if base is not None:
        yield Heading("Host memory and disk of the recipe", 3)
        yield from _needs(base)
    yield Heading("By GPU", 3)
    yield from _by_gpu(subject)
    yield Heading("CPU cores", 3)
    yield from _cores(subject)
    yield Heading("Network between machines", 3)
    yield from _network(subject)


def _needs(base: Host) -> Iterator[Block]:
    rows = [("memory", need.what, need.when, size(need.nbytes), need.basis, need.why) for need in base.ram]
    rows += [("disk", need.what, need.when, size(need.nbytes), need.basis, need.why) for need in base.disk]
    yield table(("of", "what", "when", "takes", "this is", "why"), rows)
    moments = ", ".join(f"{when} {size(base.ram_at(when))}" for when in MOMENTS)
    yield Paragraph(
        f"Memory at least: {size(base.ram_bytes)}, while {base.fullest} ({moments}); what the system itself and other "
        f"programs use comes on top. Disk at least: {size(base.disk_bytes)}, and the data."
    )


def _by_gpu(subject: Subject) -> Iterator[Block]:
    rows = []
    for gpu in subject.gpus:
        planned = subject.planned(gpu)
        if isinstance(planned, Planned) and planned.choice is not None and planned.choice.host is not None:
            known = planned.choice.host
            rows.append((planned.machine.name, size(known.ram_bytes), f"while {known.fullest}", size(known.disk_bytes)))
    if rows:
        yield table(("GPUs, with their chosen recipe", "host memory", "fullest", "disk"), rows)


def _cores(subject: Subject) -> Iterator[Block]:
    yield Paragraph(
        "Each GPU has one process of its own that starts its kernels, so a core for each GPU is the least; cutting "
        "texts into tokens happens once, before training, and takes as many as there are. How many more help was not "
        "measured; "
        "what clouds put beside a GPU (with hyper-threads, as they count), and the memory of the machine, in the "
        "middle of the machines listed:"
    )
    rows: list[tuple[Cell, ...]] = []
    for card in dict.fromkeys(card_of(gpu) for gpu in subject.gpus):
        machines = [row.machine for row in cloud_rows() if row.machine.gpu == card]
        cpus = [one.vcpus / one.count for one in machines if one.vcpus]
        memory = [one.host_ram_gib / one.count for one in machines if one.host_ram_gib]
        if cpus or memory:
            beside: Cell = Quantity(median(cpus), "CPUs") if cpus else "not known"
            ram: Cell = size(median(memory) * 2**30) if memory else "not known"
            rows.append((card, beside, ram, Quantity(len(machines), "")))
    if rows:
        yield table(("GPU", "virtual CPUs for each GPU", "memory for each GPU", "machines listed"), rows)


def _network(subject: Subject) -> Iterator[Block]:
    yield Paragraph(
        f"Several machines were not modelled. What {COUNT} GPUs send in one optimizer step, spread over the time that "
        "the "
        "step computes, is the rate below which a network makes training wait; within a machine the table of ZeRO says "
        "how long its own links make it wait. Accumulating more micro-batches lowers the rate of all but ZeRO 3."
    )
    rows = []
    for name, stage in STAGES:
        one = subject.estimate(subject.sharded(subject.job.method, REFERENCE, COUNT, stage))
        if isinstance(one, Missing):
            yield missing(name, one)
        elif one.pace is not None:
            rows.append((name.partition(":")[0], size(one.pace.sent_bytes), Quantity(_gbits(one), "Gbit/s")))
    if rows:
        yield table(("engine", "sent by each GPU in a step", "network for each GPU, at least"), rows)


def _gbits(one: Estimate) -> float:
    assert one.pace is not None
    working = sum(share.seconds for share in one.pace.shares if share.what != "waiting for links")
    return 8 * one.pace.sent_bytes / working / 1e9
