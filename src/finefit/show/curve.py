"""A memory curve as SVG: what is alive, stacked, from the first event of a step to its last. No script, no font."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, groupby
from xml.sax.saxutils import escape

from finefit.tape.curve import Curve
from finefit.units import GIB, human_bytes

WIDTH, HEIGHT = 960, 420
LEFT, TOP, RIGHT, BOTTOM = 64, 56, 176, 44
COLOURS = {
    "weight": "#4c6ef5", "buffer": "#868e96", "adapter": "#15aabf", "optimizer": "#7950f2", "gradient": "#f59f00",
    "batch": "#adb5bd", "checkpoint": "#12b886", "activation": "#fa5252", "workspace": "#e64980",
}  # fmt: skip
WORDS = {
    "weight": "weights", "buffer": "buffers", "adapter": "adapters", "optimizer": "optimizer state",
    "gradient": "gradients", "batch": "batch", "checkpoint": "layer inputs", "activation": "activations",
    "workspace": "workspaces",
}  # fmt: skip
LETTER = 7
"""Pixels of one, about."""
STYLE = "font: 13px system-ui, sans-serif; fill: currentColor"


def svg(curve: Curve, title: str) -> str:
    """Drawn in the reader's text colour, so that it suits a light page and a dark one."""
    highest = curve.columns[curve.peak]
    said = f"{title}. Peak: {human_bytes(highest.total)} in {highest.phase}."
    order = [name for name in COLOURS if name in curve.categories and _is_seen(curve, name)]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" style="color: #868e96">',
        f"<title>{escape(title)}</title><desc>{escape(said)}</desc>",
        f'<text x="{LEFT}" y="24" style="{STYLE}">{escape(title)}</text>',
        *_scale(highest.total),
        *_areas(curve, order),
        *_phases(curve),
        *_peak(curve),
        *_legend(order),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _is_seen(curve: Curve, name: str) -> bool:
    """At least a pixel high somewhere."""
    place, top = curve.categories.index(name), curve.columns[curve.peak].total
    return any(column.nbytes[place] * (HEIGHT - TOP - BOTTOM) >= top for column in curve.columns)


def _x(number: float, count: int) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * number / count


def _y(nbytes: float, top: int) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * nbytes / top


def _areas(curve: Curve, order: Sequence[str]) -> Iterator[str]:
    places = [curve.categories.index(name) for name in order]
    top, count = curve.columns[curve.peak].total, len(curve.columns)
    heights = [[0, *accumulate(column.nbytes[place] for place in places)] for column in curve.columns]
    for layer, name in enumerate(order):
        upper = [(number, column[layer + 1]) for number, column in enumerate(heights)]
        lower = [(number, column[layer]) for number, column in reversed(list(enumerate(heights)))]
        corners = " ".join(f"{_x(number, count):.1f},{_y(nbytes, top):.1f}" for number, nbytes in [*upper, *lower])
        yield f'<polygon points="{corners}" fill="{COLOURS[name]}"/>'


def _phases(curve: Curve) -> Iterator[str]:
    count, start, taken = len(curve.columns), 0, 0.0
    for phase, columns in groupby(curve.columns, key=lambda column: column.phase):
        stop = start + len(list(columns))
        left, middle = _x(start, count), _x((start + stop) / 2, count)
        yield f'<line x1="{left:.1f}" x2="{left:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM + 6}" stroke="currentColor"/>'
        half = LETTER * len(phase) / 2
        if middle - half > taken:  # two narrow phases have no room for two names
            taken = middle + half
            yield f'<text x="{middle:.1f}" y="{HEIGHT - 20}" text-anchor="middle" style="{STYLE}">{phase}</text>'
        start = stop


def _scale(top: int) -> Iterator[str]:
    """A line at every whole GiB, or at quarters of what is less."""
    step = GIB if top >= 2 * GIB else max(1, top // 4)
    step *= max(1, top // step // 6)
    for nbytes in range(0, top + 1, step):
        y = _y(nbytes, top)
        yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="currentColor" opacity="0.3"/>'
        words = f"{nbytes // GIB} GiB" if step % GIB == 0 else human_bytes(nbytes)
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" style="{STYLE}">{words}</text>'


def _peak(curve: Curve) -> Iterator[str]:
    highest = curve.columns[curve.peak]
    x = _x(curve.peak, len(curve.columns))
    yield f'<circle cx="{x:.1f}" cy="{TOP}" r="4" fill="currentColor"/>'
    yield (
        f'<text x="{x:.1f}" y="{TOP - 10}" text-anchor="middle" style="{STYLE}">'
        f"{human_bytes(highest.total)} in {highest.phase}</text>"
    )


def _legend(order: Sequence[str]) -> Iterator[str]:
    for row, name in enumerate(reversed(order)):
        y = TOP + 12 + 24 * row
        yield f'<rect x="{WIDTH - RIGHT + 20}" y="{y}" width="14" height="14" fill="{COLOURS[name]}"/>'
        yield f'<text x="{WIDTH - RIGHT + 42}" y="{y + 12}" style="{STYLE}">{WORDS[name]}</text>'
