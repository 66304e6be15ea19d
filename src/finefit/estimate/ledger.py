"""From a recording to a ledger: the fullest moment, what is alive then, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from finefit.nouns.engine import divided_by
from finefit.nouns.ledger import Ledger, Line
from finefit.nouns.recording import Recording
from finefit.tape.peaks import CUDA_BLOCK_BYTES, Held, Kind, Moment, Segment, by_phase, held_at, moments

from .load import WIDTH
from .reserved import Served
from .why import Shapes, describe

LINES_SHOWN = 16
"""Further kinds are summed into one line."""


STEPS = {"0": "first step", "1": "steady step"}
"""By how a segment's label begins."""


def ledger_of(recording: Recording, shapes: Shapes, served: Served | None) -> Ledger:
    """`served`: what the GPU's allocator made of the recording; None on a processor, where bytes count as they are."""
    granted = recording if served is None else replace(recording, nbytes=served.granted_bytes)
    found = moments(granted)
    segment, highest = max(found, key=lambda pair: pair[1].nbytes)
    round_to = 1 if served is None else CUDA_BLOCK_BYTES
    return Ledger(
        peak_bytes=highest.nbytes,
        peak_phase=segment.phase,
        phases=by_phase(found),
        lines=_with_rests(_lines(held_at(recording, highest.position, round_to), shapes), highest.nbytes),
        parameters=recording.parameters,
        trainable_parameters=recording.trainable_parameters,
        reserved=None if served is None else served.reserved,
        smallest_bytes=None if served is None else served.smallest_bytes,
        device=None if served is None else served.device,
        moments=_moments(found, shapes),
    )


def _moments(found: Sequence[tuple[Segment, Moment]], shapes: Shapes) -> dict[str, int]:
    steps: dict[str, int] = {}
    for segment, moment in found:
        name = STEPS.get(segment.label.split("/")[0])
        if name is not None and segment.phase not in ("load", "evaluation"):
            steps[name] = max(steps.get(name, 0), moment.nbytes)
    held = by_phase(found).get("resident", 0)
    return {**steps, "saving": held + whole_bytes(shapes), "resuming": held}


def whole_bytes(shapes: Shapes) -> int:
    """What is gathered to be saved: where parameters are divided, the largest one by itself (deepspeed engine.py:
    _zero3_consolidated_16bit_state_dict; torch's full_state_dict). Else tensor after tensor goes to the host."""
    divided = shapes.engine is not None and "weight" in divided_by(shapes.engine)
    return (shapes.hidden or 0) * (shapes.vocabulary or 0) * WIDTH[shapes.weight_dtype] if divided else 0


def _with_rests(lines: tuple[Line, ...], peak_bytes: int) -> tuple[Line, ...]:
    """The lines, and what the allocator counts as allocated beyond them."""
    rests = peak_bytes - sum(line.nbytes for line in lines)
    why = "the caching allocator splits off no rest of 1 MiB or less; it counts as allocated"
    return lines if rests == 0 else (*lines, Line("rests of blocks", rests, "", why))


def _lines(held: dict[Kind, Held], shapes: Shapes) -> tuple[Line, ...]:
    """The kinds alive at the peak, the largest first; kinds that read alike are one line."""
    together: dict[str, dict[Kind, Held]] = {}
    for kind, one in held.items():
        together.setdefault(describe(kind, one, shapes).what, {})[kind] = one
    lines = []
    for what, kinds in together.items():
        largest = max(kinds, key=lambda kind: kinds[kind].nbytes)
        total = Held(sum(one.nbytes for one in kinds.values()), sum(one.count for one in kinds.values()))
        lines.append(Line(what, total.nbytes, largest[1], describe(largest, total, shapes).why))
    lines.sort(key=lambda line: (-line.nbytes, line.what))
    shown, rest = lines[:LINES_SHOWN], lines[LINES_SHOWN:]
    if rest:
        nbytes = sum(line.nbytes for line in rest)
        shown.append(Line("everything smaller", nbytes, "", f"{len(rest)} further kinds of tensors"))
    return tuple(shown)
