"""From segment peaks to a ledger: the fullest moment, what is alive then, and why."""

from __future__ import annotations

from collections.abc import Mapping

from finefit.nouns.ledger import Ledger, Line
from finefit.tape.extend import Held, Kind, Peak

from .why import Shapes, describe

LINES_SHOWN = 16
"""Further kinds are summed into one line."""


def ledger_of(peaks: Mapping[str, Peak], shapes: Shapes) -> Ledger:
    highest = max(peaks.values(), key=lambda peak: peak.nbytes)
    phases: dict[str, int] = {}
    for peak in peaks.values():
        phases[peak.phase] = max(phases.get(peak.phase, 0), peak.nbytes)
    return Ledger(
        peak_bytes=highest.nbytes,
        peak_phase=highest.phase,
        phases=phases,
        lines=_lines(highest, shapes),
        parameters=shapes.parameters,
        trainable_parameters=shapes.trainable_parameters,
    )


def _lines(peak: Peak, shapes: Shapes) -> tuple[Line, ...]:
    """The kinds alive at the peak, the largest first; kinds that read alike are one line."""
    together: dict[str, dict[Kind, Held]] = {}
    for kind, held in peak.held.items():
        together.setdefault(describe(kind, held, shapes).what, {})[kind] = held
    lines = []
    for what, kinds in together.items():
        largest = max(kinds, key=lambda kind: kinds[kind].nbytes)
        total = Held(sum(h.nbytes for h in kinds.values()), sum(h.count for h in kinds.values()))
        lines.append(Line(what, total.nbytes, largest[1], describe(largest, total, shapes).why))
    lines.sort(key=lambda line: (-line.nbytes, line.what))
    shown, rest = lines[:LINES_SHOWN], lines[LINES_SHOWN:]
    if rest:
        nbytes = sum(line.nbytes for line in rest)
        shown.append(Line("everything smaller", nbytes, "", f"{len(rest)} further kinds of tensors"))
    return tuple(shown)
