"""Nouns as a terminal's tables and bars."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TextIO

from finefit.nouns.engine import words_of
from finefit.nouns.estimate import Estimate
from finefit.nouns.host import Host, Need
from finefit.nouns.ledger import Ledger, Line
from finefit.nouns.range import Range, Reason
from finefit.nouns.task import Generate
from finefit.search.preferences import task_of
from finefit.units import human_bytes, human_seconds

from . import generation, pace, preferences
from .words import (
    checkpointing_words,
    count_words,
    gap_percent,
    images_words,
    kernel_words,
    notes_of,
    percent,
    range_words,
    showing_words,
    verdict_words,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from finefit.nouns.data import DataFacts
    from finefit.nouns.plan import Plan
    from finefit.nouns.receipt import PhaseGap, RangeGap, Receipt, TimeGap

BAR_CELLS = 30
PIPED_CELLS = 120
"""Width where no terminal says one."""


def console_on(file: TextIO) -> Console:
    from rich.console import Console

    width = None if file.isatty() else PIPED_CELLS
    return Console(file=file, width=width, highlight=False, markup=False, emoji=False)


def show_estimate(estimate: Estimate) -> None:
    console, ledger = console_on(sys.stdout), estimate.ledger
    style = {"no": "bold red", "tight": "bold yellow"}.get(estimate.verdict or "", "bold")
    answer = estimate.task if isinstance(estimate.task, Generate) else None
    what = (
        generation.heading(estimate.method, answer) if answer else preferences.heading(estimate.task, estimate.method)
    )
    console.print(f"{estimate.model.id}: {what}", style="bold")
    console.print(f"{human_bytes(ledger.peak_bytes)} allocated at the peak, in {ledger.peak_phase}", style=style)
    if ledger.reserved is not None:
        console.print(f"{_ranged(ledger.reserved)} reserved by the caching allocator", style=style)
    if ledger.device is not None:
        console.print(f"{_ranged(ledger.device)} on the device, with the CUDA context", style=style)
    console.print(verdict_words(estimate), style=style)
    console.print()
    console.print(_phases(ledger))
    console.print(_lines(ledger.lines))
    if ledger.device is not None:
        console.print(_reasons(ledger.device.reasons))
    if estimate.pace is not None:
        console.print(pace.table(estimate.pace))
    console.print(
        facts_table(
            {
                **(generation.facts(estimate, answer) if answer else _trained(estimate)),
                "a run": ", ".join(f"{name} {human_bytes(peak)}" for name, peak in ledger.moments.items()),
                **_smallest(ledger),
                **({} if estimate.host is None else _host(estimate.host)),
                "computed by": f"{estimate.source}, {human_seconds(estimate.seconds)}; {_versions(estimate.stack)}",
            }
        )
    )
    _notes(console, notes_of(estimate))


def _trained(estimate: Estimate) -> dict[str, str]:
    ledger, knobs = estimate.ledger, estimate.knobs
    return {
        "parameters": f"{count_words(ledger.parameters)}, {count_words(ledger.trainable_parameters)} trained",
        "batch": preferences.batch_words(estimate.task, knobs),
        **preferences.facts(estimate.task),
        **({} if estimate.images is None else {"images": images_words(estimate.images)}),
        **({} if estimate.data is None else {"data": _data(estimate.data)}),
        "recomputed": checkpointing_words(knobs.gradient_checkpointing),
        "precision": f"{knobs.dtype} weights, mixed {knobs.mixed_precision}",
        "kernels": kernel_words(knobs),
        **({} if estimate.engine is None else {"engine": words_of(estimate.engine, estimate.machine.parts)}),
    }


def _host(host: Host) -> dict[str, str]:
    """Beside the GPUs, of all processes together."""
    return {
        "host memory": f"{human_bytes(host.ram_bytes)}, while {host.fullest}: {_needs(host.needs_at(host.fullest))}",
        "disk": f"{human_bytes(host.disk_bytes)}: {_needs(host.disk)}",
    }


def _needs(needs: Sequence[Need]) -> str:
    return ", ".join(f"{need.what} {human_bytes(need.nbytes)}" for need in needs)


def show_plan(plan: Plan, console: Console) -> None:
    knobs, data, task = plan.knobs, plan.data, task_of(plan.job)
    facts = {
        "model": f"{plan.model.id}, {count_words(plan.ledger.parameters)} parameters",
        "method": f"{preferences.heading(task, plan.method)}; {count_words(plan.ledger.trainable_parameters)} trained",
        **preferences.facts(task),
        "machine": plan.machine.name,
        "steps": f"{plan.steps} of {plan.job.global_batch_size} {preferences.rows_words(task)}: "
        f"{knobs.per_device_train_batch_size} × {knobs.gradient_accumulation_steps}{_on_ranks(plan)}",
        "recomputed": checkpointing_words(knobs.gradient_checkpointing),
        "precision": f"{knobs.dtype} weights, mixed {knobs.mixed_precision}",
        "kernels": kernel_words(knobs),
        **({} if plan.engine is None else {"engine": words_of(plan.engine, plan.machine.parts)}),
    }
    if data is not None:
        facts["data"] = _data(data)
    facts["predicted peak"] = f"{human_bytes(plan.ledger.peak_bytes)} allocated, in {plan.ledger.peak_phase}"
    if plan.ledger.device is not None:
        facts["on the device"] = _ranged(plan.ledger.device)
    console.print(facts_table(facts))
    if plan.ledger.device is not None:
        console.print(_reasons(plan.ledger.device.reasons))
    _notes(console, plan.notes)


def _on_ranks(plan: Plan) -> str:
    return f" on {plan.machine.count} {plan.machine.parts}" if plan.machine.count > 1 else ""


def _data(data: DataFacts) -> str:
    shown = "" if data.shown is None else f"; {showing_words(data.shown)}"
    bad = data.left_out + data.eval_left_out
    left_out = f", {bad} bad ones left out" if bad else ""
    packed = "" if data.packed_rows is None else f" packed into {data.packed_rows} sequences"
    rows = f"{data.rows} rows{packed}, {data.eval_rows} held out{left_out}"
    return (
        f"{rows}; {data.shortest_tokens} to {data.longest_tokens} tokens, "
        f"median {data.median_tokens}; the longest is line {data.longest_line}{shown}"
    )


def show_receipt(receipt: Receipt) -> None:
    console = console_on(sys.stdout)
    console.print(f"{receipt.run}: {receipt.model}, {receipt.method}, on {receipt.machine}", style="bold")
    if receipt.peak is not None:
        title = f"memory, measured by the {receipt.measured_by}"
        console.print(_gaps(title, "phase", receipt.phases, replace(receipt.peak, phase="peak")))
    if receipt.held:
        *kinds, together = receipt.held
        console.print(_gaps("held between two steps by the rank that has most", "what", kinds, together))
    console.print(facts_table(_outcome(receipt)))
    _notes(console, receipt.notes)


def _gaps(title: str, first: str, gaps: Sequence[PhaseGap], last: PhaseGap) -> Table:
    from rich.table import Table

    table = Table(first, title=title, title_justify="left")
    for column in ("predicted", "measured", "gap"):
        table.add_column(column, justify="right")
    for gap in gaps:
        table.add_row(*_gap_cells(gap, gap.phase))
    table.add_section()
    table.add_row(*_gap_cells(last, last.phase), style="bold")
    return table


def _gap_cells(gap: PhaseGap, title: str) -> tuple[str, str, str, str]:
    return (title, human_bytes(gap.predicted_bytes), human_bytes(gap.measured_bytes), percent(gap_percent(gap)))


def _outcome(receipt: Receipt) -> dict[str, str]:
    return {
        "rows": _rows(receipt),
        "training loss": _from_to(receipt.train_loss_first, receipt.train_loss_last),
        "held-out loss": _from_to(receipt.eval_loss_before, receipt.eval_loss_after),
        "preferred": preferences.preferred_words(receipt),
        "speed": f"{receipt.tokens_per_second:.0f} tokens/s, {receipt.steps} steps in "
        f"{human_seconds(receipt.train_seconds)}",
        "a step": _time_gap(receipt.step),
        "process": f"{human_bytes(receipt.rss_peak_bytes)} resident at most",
        "reserved": _range_gap(receipt.reserved),
        "device": _range_gap(receipt.device) or _at_most(receipt.device_peak_bytes),
        "seed": str(receipt.seed),
        "versions": _versions(receipt.stack),
        **{f"sha256 of {what}": digest for what, digest in receipt.hashes.items()},
    }


def _rows(receipt: Receipt) -> str:
    left_out = f", {receipt.rows_left_out:,} bad ones left out" if receipt.rows_left_out else ""
    return "" if receipt.rows is None else f"{receipt.rows:,} trained on{left_out}"


def _range_gap(gap: RangeGap | None) -> str:
    if gap is None:
        return ""
    likely = human_bytes(gap.typical_bytes)
    foreseen = f"{human_bytes(gap.low_bytes)} to {human_bytes(gap.high_bytes)} predicted, {likely} likely"
    if gap.measured_bytes is None:
        return f"not measured; {foreseen}"
    return f"{human_bytes(gap.measured_bytes)} at most, {'inside' if gap.is_inside else 'outside'} of {foreseen}"


def _time_gap(gap: TimeGap | None) -> str:
    if gap is None:
        return ""
    foreseen = f"{human_seconds(gap.predicted)} ({human_seconds(gap.low)} to {human_seconds(gap.high)}) predicted"
    return f"{human_seconds(gap.measured)} on average, {'inside' if gap.is_inside else 'outside'} of {foreseen}"


def _at_most(nbytes: int | None) -> str:
    return "" if nbytes is None else f"{human_bytes(nbytes)} at most"


def _from_to(first: float | None, last: float | None) -> str:
    if first is None and last is None:
        return ""
    return " -> ".join("?" if loss is None else f"{loss:.4f}" for loss in (first, last))


def _phases(ledger: Ledger) -> Table:
    from rich.bar import Bar
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for phase, nbytes in ledger.phases.items():
        style = "bold" if phase == ledger.peak_phase else ""
        bar = Bar(ledger.peak_bytes, 0, nbytes, width=BAR_CELLS)
        table.add_row(phase, bar, human_bytes(nbytes), style=style)
    return table


def _lines(lines: Sequence[Line]) -> Table:
    from rich.table import Table

    table = Table(title="alive at the peak", title_justify="left")
    table.add_column("what")
    table.add_column("bytes", justify="right", no_wrap=True)
    table.add_column("born in", no_wrap=True)
    table.add_column("why", ratio=1)
    for line in lines:
        table.add_row(line.what, human_bytes(line.nbytes), line.phase, line.why)
    return table


def _reasons(reasons: Sequence[Reason]) -> Table:
    from rich.table import Table

    table = Table(title="why the device may show less or more", title_justify="left")
    table.add_column("what")
    for title in ("less", "more"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("this is", no_wrap=True)
    table.add_column("why", ratio=1)
    for reason in reasons:
        cells = (human_bytes(reason.below_bytes), human_bytes(reason.above_bytes))
        table.add_row(reason.what, *cells, reason.basis, reason.why)
    return table


def _ranged(known: Range) -> str:
    return f"{human_bytes(known.typical)} ({range_words(known)})"


def _smallest(ledger: Ledger) -> dict[str, str]:
    if ledger.smallest_bytes is None:
        return {}
    least = human_bytes(ledger.smallest_bytes)
    return {"enough": f"{least} on the device, where the allocator empties its cache on the way"}


def facts_table(facts: Mapping[str, str]) -> Table:
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for name, fact in facts.items():
        if fact:
            table.add_row(name, fact)
    return table


def _versions(stack: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in stack.items())


def _notes(console: Console, notes: Sequence[str]) -> None:
    for note in notes:
        console.print(f"note: {note}", style="dim")
