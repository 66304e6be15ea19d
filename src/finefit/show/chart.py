"""Hours against cost of every cell that fits and has a price, as SVG: no script, no font. Both scales are powers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

from finefit.nouns.matrix import Matrix

from .curve import STYLE

WIDTH, HEIGHT = 760, 380
LEFT, TOP, RIGHT, BOTTOM = 64, 24, 24, 64
COLOURS = {"full": "#f59f00", "lora": "#4c6ef5", "qlora4": "#12b886", "qlora8": "#e64980"}

Point = tuple[float, float, str, str]
"""Hours, cost, method, and what it is."""


def svg(matrix: Matrix) -> str:
    points = [
        (row.hours, row.cost, str(row.method), f"{row.name}, {row.method}: {row.hours:,.1f} hours, {row.cost:,.2f} USD")
        for row in matrix.rows
        if row.verdict == "fits" and row.hours and row.cost
    ]
    if not points:
        return ""
    said = escape(f"Hours and cost of {len(points)} that fit and have a known price")
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
            f"<title>{said}</title>",
            *_axes(points),
            *_dots(points),
            *_legend({method for _, _, method, _ in points}),
            "</svg>",
        )
    )


def _dots(points: Sequence[Point]) -> Iterator[str]:
    hours, costs = [point[0] for point in points], [point[1] for point in points]
    for hour, cost, method, what in points:
        x, y = _x(hour, hours), _y(cost, costs)
        colour = COLOURS.get(method, "#868e96")
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"><title>{escape(what)}</title></circle>'


def _axes(points: Sequence[Point]) -> Iterator[str]:
    hours, costs = [point[0] for point in points], [point[1] for point in points]
    low, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    yield f'<path d="M{LEFT} {TOP}V{low}H{right}" fill="none" stroke="#868e96"/>'
    for power in _powers(hours):
        x = _x(power, hours)
        yield f'<text x="{x:.0f}" y="{low + 18}" text-anchor="middle" style="{STYLE}">{power:g} h</text>'
    for power in _powers(costs):
        y = _y(power, costs)
        yield f'<text x="{LEFT - 8}" y="{y:.0f}" text-anchor="end" style="{STYLE}">{power:g} USD</text>'


def _legend(methods: set[str]) -> Iterator[str]:
    for number, method in enumerate(sorted(methods)):
        x, y = LEFT + 90 * number, HEIGHT - 16
        yield f'<circle cx="{x}" cy="{y - 4}" r="5" fill="{COLOURS.get(method, "#868e96")}"/>'
        yield f'<text x="{x + 10}" y="{y}" style="{STYLE}">{escape(method)}</text>'


def _powers(values: Sequence[float]) -> list[float]:
    """Of ten, that enclose all."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return [10.0**power for power in range(low, max(high, low + 1) + 1)]


def _part(value: float, values: Sequence[float]) -> float:
    powers = _powers(values)
    return math.log10(value / powers[0]) / math.log10(powers[-1] / powers[0])


def _x(hours: float, all_hours: Sequence[float]) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * _part(hours, all_hours)


def _y(cost: float, costs: Sequence[float]) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * _part(cost, costs)
