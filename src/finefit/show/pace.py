"""How long a step takes, in a table and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from finefit.nouns.pace import Pace
from finefit.units import human_seconds

if TYPE_CHECKING:
    from rich.table import Table


def speed(pace: Pace | None) -> dict[str, Any]:
    """`low` and `high` are tokens per second, of all GPUs together."""
    if pace is None:
        return {"tokens_per_second": None, "step_seconds": None, "low": None, "high": None, "shares": []}
    return {
        "tokens_per_second": pace.tokens_per_second,
        "step_seconds": pace.step_seconds,
        "low": pace.slowest,
        "high": pace.fastest,
        "shares": [vars(share) for share in pace.shares],
    }


def heading(pace: Pace) -> str:
    return (
        f"{pace.tokens_per_second:,.0f} tokens/s ({pace.slowest:,.0f} to {pace.fastest:,.0f}), "
        f"{human_seconds(pace.step_seconds)} a step of {pace.tokens:,} tokens"
    )


def table(pace: Pace) -> Table:
    from rich.table import Table

    table = Table(title=f"a step: {heading(pace)}", title_justify="left")
    table.add_column("what")
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("part", justify="right", no_wrap=True)
    table.add_column("this is", no_wrap=True)
    table.add_column("why", ratio=1)
    for share in pace.shares:
        part = f"{100 * share.seconds / pace.step_seconds:.0f} %"
        table.add_row(share.what, human_seconds(share.seconds), part, share.basis, share.why)
    return table
