"""A plan: the choice as an estimate is shown, those behind it, and what was passed over."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finefit.nouns.advice import Advice, Direction
from finefit.nouns.engine import words_of
from finefit.nouns.estimate import Estimate
from finefit.nouns.files import Files
from finefit.nouns.method import name_of
from finefit.nouns.plan import Plan
from finefit.nouns.planned import Candidate, Planned, Weighed
from finefit.nouns.workload import Packing, Workload
from finefit.search.advice import best
from finefit.units import human_bytes, human_seconds

from . import json, pace, terminal
from .words import checkpointing_words

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def of_planned(planned: Planned, files: Mapping[str, object] | None = None) -> dict[str, Any]:
    """As of an estimate, of the choice; where nothing fits, of what lacks least. `files`: by name the path, or the text
    where none is written."""
    shown = planned.choice or planned.nearest
    base = {} if shown is None else json.of_estimate(shown)
    return {
        **base,
        "choice": None if planned.choice is None else _of_estimate(planned.choice),
        "alternatives": [_of_weighed(one) for one in planned.alternatives],
        "passed_over": [{"recipe": one.what, "why": one.why} for one in planned.passed_over],
        "cost": _of_workload(planned.workload),
        "packing": None if planned.packing is None else vars(planned.packing),
        "advice": [of_advice(one) for one in planned.advice],
        "weighed": planned.weighed,
        "checked": planned.checked,
        "files": {name: str(each) for name, each in (files or {}).items()},
        "seconds": planned.seconds,
        "notes": [*planned.notes, *(base.get("notes", []))],
    }


def _of_workload(work: Workload | None) -> dict[str, Any] | None:
    if work is None:
        return None
    return {**vars(work), "usd": work.usd, "offer": None if work.offer is None else vars(work.offer)}


def of_advice(one: Advice) -> dict[str, Any]:
    return {
        "direction": one.direction,
        "what": one.what,
        "keys": dict(one.keys),
        "touches": one.touches,
        "fits": one.fits,
        "high_bytes": one.after.high_bytes,
        "saved_bytes": one.saved_bytes,
        "tokens_per_second": one.after.tokens_per_second,
        "time_lost": one.time_lost,
        "is_checked": one.after.is_checked,
    }


def _of_estimate(estimate: Estimate) -> dict[str, Any]:
    data = json.of_estimate(estimate)
    return {key: data[key] for key in ("recipe", "engine", "memory", "speed", "verdict")}


def _of_weighed(one: Weighed) -> dict[str, Any]:
    candidate = one.candidate
    return {
        "recipe": {"method": name_of(candidate.method), **json.plain(candidate.knobs)},
        "engine": None if candidate.engine is None else words_of(candidate.engine),
        "allocated_bytes": candidate.peak_bytes,
        "high_bytes": one.high_bytes,
        "is_checked": one.is_checked,
        "speed": pace.speed(candidate.pace),
        "own_tokens_per_second": candidate.own_tokens_per_second,
    }


def show(planned: Planned) -> None:
    console = terminal.console_on(sys.stdout)
    found = (
        f"{planned.weighed:,} recipes weighed, {planned.checked} with the allocator, {human_seconds(planned.seconds)}"
    )
    if planned.choice is None:
        console.print(f"nothing fits {planned.machine.name}; {found}", style="bold red")
        if planned.nearest is not None:
            console.print("what lacks least:")
            terminal.show_estimate(planned.nearest)
    else:
        console.print(f"the fastest that fits {planned.machine.name}; {found}", style="bold green")
        terminal.show_estimate(planned.choice)
        console.print(_alternatives(planned.choice, planned.alternatives, planned.workload))
    console.print(_passed_over(planned))
    if planned.workload is not None:
        console.print(f"{_run(planned.workload)}; {_cost(planned.workload)}")
    if planned.packing is not None:
        console.print(packing_words(planned.packing))
    for direction, title in TITLES.items():
        if best(planned.advice, direction):
            console.print(_advice(best(planned.advice, direction), title))
    for note in planned.notes:
        console.print(f"note: {note}", style="dim")


def show_run(plan: Plan, console: Console) -> None:
    """Of a run that is about to begin: how long it takes, and why it has its knobs."""
    if plan.pace is not None:
        console.print(f"predicted, with rows as long as the longest: {pace.heading(plan.pace)}")
    if plan.work is not None:
        console.print(_run(plan.work))
    if plan.chosen is not None:
        found = f"{plan.chosen.weighed:,} recipes weighed, {plan.chosen.checked} with the allocator"
        console.print(f"the fastest that fits {plan.machine.name}; {found}")
        console.print(_alternatives(plan, plan.chosen.alternatives, plan.work))


def _alternatives(choice: Estimate | Plan, alternatives: tuple[Weighed, ...], work: Workload | None) -> Table:
    from rich.table import Table

    table = Table(title="the choice, and those behind it", title_justify="left")
    for title in ("recipe", "recomputed"):
        table.add_column(title)
    for title in ("tokens/s" if work is None else "own tokens/s", "device, at most"):
        table.add_column(title, justify="right", no_wrap=True)
    if choice.pace is not None and choice.ledger.device is not None:
        engine = choice.engine if isinstance(choice, Estimate) else None
        own = None if work is None else work.own_tokens_per_second
        chosen = Candidate(choice.method, choice.knobs, engine, choice.ledger.peak_bytes, choice.pace, own)
        table.add_row(*_cells(chosen, choice.ledger.device.high, ""), style="bold")
    for one in alternatives:
        table.add_row(*_cells(one.candidate, one.high_bytes, "" if one.is_checked else "about "))
    return table


def _cost(work: Workload) -> str:
    if work.offer is None or work.usd is None:
        return "no price is known"
    offer = work.offer
    return f"{work.usd:,.2f} USD at {offer.provider} ({offer.usd_per_hour:.2f} an hour, {offer.date})"


def _run(work: Workload) -> str:
    hours = f"{human_seconds(work.seconds)} ({human_seconds(work.low)} to {human_seconds(work.high)})"
    of = f"{work.rows:,} rows, the longest line {work.longest_line}; {work.steps:,} steps"
    pads = f"{100 * work.real_share:.0f} % of what is read, the rest pads" if work.real_share < 1 else "nothing pads"
    read = f"{work.tokens:,} tokens ({pads})"
    return f"the run: {of}, {read}; {hours}"


def packing_words(packing: Packing) -> str:
    """What it does, or would do, and what it changes."""
    does, named = ("lets", "packing") if packing.is_chosen else ("would let", "packing (--packing)")
    share = f"{packing.rows:,} rows share {packing.sequences:,} sequences of {packing.length:,} tokens"
    pads = f"without it {100 * packing.padding:.0f} % of what is read pads"
    steps = f"an epoch has {packing.steps_packed:,} steps in the place of {packing.steps_apart:,}"
    return f"{named} {does} {share}; {pads}; {_hours(packing)}{steps}, as rows share one that would not"


def _hours(packing: Packing) -> str:
    if packing.seconds_apart is None or packing.seconds_packed is None:
        return "how fast it is, no tape knows; " if packing.seconds_packed is None else ""
    return f"{human_seconds(packing.seconds_packed)} in the place of {human_seconds(packing.seconds_apart)}; "


def _cells(candidate: Candidate, high_bytes: int, about: str) -> tuple[str, str, str, str]:
    knobs = candidate.knobs
    batch = f"{knobs.per_device_train_batch_size} × {knobs.gradient_accumulation_steps}"
    engine = "" if candidate.engine is None else f", {words_of(candidate.engine)}"
    return (
        f"{name_of(candidate.method)}, {batch}{', packed' if knobs.packing else ''}{engine}",
        checkpointing_words(knobs.gradient_checkpointing),
        f"{candidate.tokens_per_second:,.0f}",
        f"{about}{human_bytes(high_bytes)}",
    )


TITLES: dict[Direction, str] = {"give up": "to need less memory", "spend": "where memory is left"}


def _advice(given: tuple[Advice, ...], title: str) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column("change")
    for name in ("time", "device, at most"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("touches")
    for one in given:
        about = "" if one.after.is_checked else "about "
        does = "" if one.fits else ": does not fit either"
        table.add_row(
            one.what, f"{100 * one.time_lost:+.0f} %", f"{about}{human_bytes(one.after.high_bytes)}", one.touches + does
        )
    return table


def _passed_over(planned: Planned) -> Table:
    from rich.table import Table

    table = Table(title="passed over", title_justify="left")
    table.add_column("recipe")
    table.add_column("why")
    for one in planned.passed_over:
        table.add_row(one.what, one.why)
    return table


def show_files(files: Files, paths: Mapping[str, Path]) -> None:
    console = terminal.console_on(sys.stdout)
    for path in paths.values():
        console.print(f"wrote {path}", soft_wrap=True)
    for note in files.notes:
        console.print(f"note: {note}", style="dim")
    if files.launch:
        folder = shlex.quote(str(next(iter(paths.values())).parent))
        console.print(f"start: cd {folder} && {files.launch}", style="bold", soft_wrap=True)
