"""A tape as bytes, to ship and to keep: columns of small numbers that repeat from layer to layer, compressed.

A death is written as how many births ago its storage was born, so that equal layers read equal.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Sequence
from typing import Any

from finefit.nouns.recording import Recording

from .expand import Growth
from .sizes import Point
from .tape import Bounds, History, Tape

FORM = 2
"""Changes where older bytes would be misread."""


def encode(tape: Tape) -> bytes:
    written = {
        "form": FORM,
        "bounds": [tape.bounds.lengths, tape.bounds.tokens, tape.bounds.widths],
        "stack": dict(tape.stack),
        "histories": [_history(history) for history in tape.histories],
    }
    return lzma.compress(json.dumps(written, separators=(",", ":")).encode())


def decode(data: bytes) -> Tape:
    """Raises `ValueError` where the bytes are not of this form."""
    try:
        written = json.loads(lzma.decompress(data))
    except lzma.LZMAError as torn:
        raise ValueError("torn") from torn
    if written.get("form") != FORM:
        raise ValueError(f"of form {written.get('form')}, not {FORM}")
    bounds = Bounds(*(tuple(numbers) for numbers in written["bounds"]))
    histories = tuple(_read_history(history, bounds) for history in written["histories"])
    return Tape(histories, bounds, written["stack"])


def _history(history: History) -> dict[str, Any]:
    few = history.few
    return {
        "layers": history.layers,
        "blocks": few.blocks,
        "kinds": few.kinds,
        "kind_names": few.kind_names,
        "block_of": few.block_of,
        "events": _relative(few.events),
        "marks": few.marks,
        "counts": history.counts,
        "growths": [_growth(growth) for growth in history.growths],
        "points": [_point(point) for point in history.points],
        "rows": history.rows,
        "row_of": history.row_of,
    }


def _read_history(written: dict[str, Any], bounds: Bounds) -> History:
    rows = tuple(tuple(row) for row in written["rows"])
    row_of = tuple(written["row_of"])
    counts = tuple(tuple(row) for row in written["counts"])
    few = written | {"events": _absolute(written["events"]), "nbytes": [rows[row][0] for row in row_of]}
    frozen, trained = (row[0] for row in counts)
    few |= {"parameters": frozen + trained, "trainable_parameters": trained}
    return History(
        few=Recording.from_json(few),
        layers=written["layers"],
        growths=tuple(map(_read_growth, written["growths"])),
        points=tuple(Point(*numbers) for numbers in written["points"]),
        rows=rows,
        row_of=row_of,
        counts=counts,
        widths=bounds.widths,
    )


def _point(point: Point) -> list[int]:
    written = [point.batch, point.length, point.rank, point.new, point.sequences, point.documents]
    usual = [None, None, None, 0, 1, 1]
    while written[-1] == usual[len(written) - 1]:
        written.pop()
    return written


def _growth(growth: Growth) -> list[Any]:
    nbytes = [[*name, size] for name, size in growth.nbytes.items()]
    return [growth.unit, nbytes, growth.frozen_parameters, growth.trainable_parameters]


def _read_growth(written: list[Any]) -> Growth:
    unit, nbytes, frozen, trained = written
    return Growth(unit, {(block, number): size for block, number, size in nbytes}, frozen, trained)


def _relative(events: Sequence[int]) -> list[int]:
    """0 for a birth; for a death, how many births ago."""
    births = 0
    written = []
    for event in events:
        births += event > 0
        written.append(0 if event > 0 else births + event + 1)
    return written


def _absolute(written: Sequence[int]) -> list[int]:
    births = 0
    events = []
    for ago in written:
        births += ago == 0
        events.append(births if ago == 0 else ago - births - 1)
    return events
