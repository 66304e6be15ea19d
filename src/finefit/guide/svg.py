"""A chart as inline SVG: bars from left to right, with what they are in words. No script, no font, no network."""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape

from finefit.show.curve import STYLE

from .blocks import Bar, Chart, Quantity, names_of

COLOURS = ("#4c6ef5", "#15aabf", "#f59f00", "#7950f2", "#fa5252", "#12b886", "#e64980", "#868e96", "#fab005", "#82c91e")
WIDTH, LEFT, RIGHT, ROW, TOP = 960, 240, 130, 30, 40
KEY_WIDTH, KEY_ROW = 230, 22


def svg(chart: Chart) -> str:
    names = names_of(chart)
    keys = 0 if len(names) < 2 else -(-len(names) // 4)
    height = TOP + ROW * len(chart.bars) + KEY_ROW * keys + 16
    most = max((sum(value for _, value in bar.parts) for bar in chart.bars), default=0.0) or 1.0
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" style="color: #868e96">',
        f"<title>{escape(chart.title)}</title>",
        f'<text x="0" y="20" style="{STYLE}">{escape(chart.title)}</text>',
        *(line for row, bar in enumerate(chart.bars) for line in _bar(chart, bar, row, most, names)),
        *(_keys(names, TOP + ROW * len(chart.bars) + 8) if keys else ()),
        "</svg>",
    ]
    return "\n".join(parts)


def _bar(chart: Chart, bar: Bar, row: int, most: float, names: tuple[str, ...]) -> Iterator[str]:
    y, x, room = TOP + ROW * row, float(LEFT), WIDTH - LEFT - RIGHT
    yield f'<text x="{LEFT - 8}" y="{y + 15}" text-anchor="end" style="{STYLE}">{escape(bar.label)}</text>'
    for name, value in bar.parts:
        wide = room * value / most
        said = escape(f"{name}: {Quantity(value, chart.unit)}")
        yield (
            f'<rect x="{x:.1f}" y="{y}" width="{wide:.1f}" height="20" fill="{_colour(names, name)}">'
            f"<title>{said}</title></rect>"
        )
        x += wide
    total = Quantity(sum(value for _, value in bar.parts), chart.unit)
    yield f'<text x="{x + 8:.1f}" y="{y + 15}" style="{STYLE}">{escape(str(total))}</text>'


def _keys(names: tuple[str, ...], top: int) -> Iterator[str]:
    for number, name in enumerate(names):
        x, y = KEY_WIDTH * (number % 4), top + KEY_ROW * (number // 4)
        yield f'<rect x="{x}" y="{y}" width="14" height="14" fill="{_colour(names, name)}"/>'
        yield f'<text x="{x + 22}" y="{y + 12}" style="{STYLE}">{escape(name)}</text>'


def _colour(names: tuple[str, ...], name: str) -> str:
    return COLOURS[names.index(name) % len(COLOURS)]
